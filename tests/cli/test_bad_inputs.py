"""Every verb with input it cannot use: exit code 2, one line that names it, at once, and nothing written."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from st_mta.cli.main import main
from tests.cli.test_main import data  # noqa: F401

PLACES = {"evaluate": "--output-dir", "teacher": "--output-dir", "assistants": "--output-dir",
          "diagnose": "--output-dir", "distill": "--output-dir", "mine": "--output", "score": "--output",
          "quickstart": "--output-dir"}  # fmt: skip
"""Where a verb writes."""
NAMES = {"mine": "m.parquet", "score": "s.trec"}


def command(verb: str, data: Path, out: Path, *changed: str) -> list[str]:  # noqa: F811
    """A command line that would work, but for the options that are changed: "--flag value ..." each."""
    teacher, collection = data / "teacher", data / "data"
    usual = {
        "distill": f"--collection {collection} --teacher {teacher} --student {data / 'student'} --device cpu",
        "evaluate": f"--model bm25 --collection {collection}",
        "teacher": f"--base {teacher} --collection {collection} --device cpu",
        "assistants": f"--base {teacher} --collection {collection} --device cpu",
        "mine": f"--retrievers bm25 --collection {collection}",
        "score": f"--scorer bm25 --collection {collection} --pairs {data / 'pairs.trec'}",
        "diagnose": f"--collection {collection} --teacher {teacher} --assistants bm25",
        "push": "--output-dir nowhere --repo me/x --dry-run",
        "push-scores": "--repo me/x --dry-run",
    }.get(verb, "")
    if verb in PLACES:
        usual += f" {PLACES[verb]} {out / NAMES.get(verb, '')}"
    flags = {part.split(" ")[0] for part in changed}
    kept = [part for part in usual.split("--") if part.strip() and f"--{part.split()[0]}" not in flags]
    given = [word for part in kept for word in f"--{part}".split()]
    return [verb, *given, *(word for part in changed for word in part.split(" "))]


def training(**arguments: object) -> str:
    return "--training " + json.dumps(arguments, separators=(",", ":"))


BAD = [
    *((verb, option) for verb in ("distill", "teacher", "assistants") for option in (
        "--batch-size 0", "--batch-size -1", "--batch-size 1.5", "--batch-size 9999999999999999999999",
        "--epochs nan", "--epochs -1", "--epochs 0", "--epochs inf", "--learning-rate -1", "--learning-rate nan",
        "--seed -1", "--seed 1099511627776", "--seed 1180591620717411303424", "--device gpux", "--max-length 0",
        "--precision fp16", "--range-max 0", "--store ", "--store FILE", "--store FILE/s",
    )),
    *(("distill", option) for option in (
        "--dropout 2", "--max-eval-queries -1", "--queries-per-iteration 0", "--queries-per-iteration -3",
        "--regression-epochs -1", "--regression-epochs nan", "--documents-per-forward 0", "--num-iterations true",
        "--num-candidates 1000000000000000000000", "--range-min 100", "--alpha nan", "--target-entropy 0",
        "--fusion os:system", "--fusion os:getcwd", "--fusion nowhere:f", "--selection os:system", "--loss os:getcwd",
        "--selection os:nothing", "--student-layers -1", "--output-dir ", "--teacher ", "--collection ",
        "--collection nowhere", "--eval-depth 0", "--num-iter 3", "--config ", "--assistants ",
    )),
    *(("distill", training(**arguments)) for arguments in (
        {"save_steps": 0}, {"save_steps": -1}, {"logging_steps": 0}, {"warmup_steps": -1}, {"warmup_ratio": 2},
        {"weight_decay": -1}, {"adam_beta1": 1.5}, {"adam_epsilon": 0}, {"max_grad_norm": -1}, {"max_steps": 0},
        {"gradient_accumulation_steps": 0}, {"data_seed": -1}, {"data_seed": 2**40}, {"save_total_limit": 0},
        {"dataloader_num_workers": -1}, {"per_device_eval_batch_size": 0}, {"optim": "nope"}, {"optim_args": "nope"},
        {"lr_scheduler_type": "nope"}, {"lr_scheduler_kwargs": {"nope": 1}}, {"report_to": "nope"},
        {"learning_rate_mapping": {"(": 1.0}}, {"neftune_noise_alpha": 5}, {"accelerator_config": "nowhere.json"},
        {"torch_compile_backend": "nope"}, {"eval_strategy": "steps", "eval_steps": 0},
    )),
    *(("evaluate", option) for option in (
        "--depth 0", "--depth -1", "--depth 1e3", "--block-size 0", "--backend nope", "--precision fp64",
        "--split nope", "--output-dir ", "--output-dir FILE", "--output-dir FILE/x", "--output-dir LOOP/x",
        "--output-dir NUL", "--output-dir LONG", "--model ", "--benchmark sciffact",
    )),
    *(("teacher", option) for option in (
        "--num-negatives 0", "--num-candidates 1", "--save-steps 0", "--range-min 50", "--max-queries 0",
        "--max-queries -1", "--output-dir FILE/x",
    )),
    *(("assistants", option) for option in ("--kinds nope", "--kinds imitating", "--output-dir FILE")),
    *(("mine", option) for option in (
        "--seed -1", "--split nope", "--split ", "--num-candidates 1", "--range-min 200", "--sampling-strategy x",
        "--output m.csv", "--output FILE/m.parquet", "--output ", "--output LONG.parquet",
    )),
    *(("score", option) for option in (
        "--output s.csv", "--pairs nowhere.trec", "--output FILE/s.trec", "--output DANGLING/s.trec", "--scorer ",
    )),
    *(("diagnose", option) for option in (
        "--max-queries -3", "--seed -1", "--fusion os:system", "--split nope", "--output-dir FILE/x",
    )),
    ("quickstart", "--seed -1"), ("quickstart", "--output-dir FILE/x"), ("report", "--output-dir nowhere"),
    ("push", "--output-dir nowhere"), ("push", "--repo "), ("push-scores", "--scorer nope"), ("cache", "--clear nope"),
    ("cache", "--store FILE"), ("destil", ""), ("push_score", ""), ("", ""),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "option"), BAD, ids=[f"{verb} {option}"[:60] for verb, option in BAD])
def test_bad_input_is_one_line_at_once_and_nothing_is_written(data, tmp_path, capsys, monkeypatch, verb, option):  # noqa: F811
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    monkeypatch.chdir(inputs)
    (inputs / "FILE").write_text("x")
    (inputs / "LOOP").symlink_to(inputs / "LOOP")
    (inputs / "DANGLING").symlink_to(inputs / "gone" / "further")
    (data / "pairs.trec").write_text("q0 Q0 p0 1 1.0 x\n")
    option = option.replace("NUL", "a\0b").replace("LONG", "y" * 300)
    before = sorted(tmp_path.rglob("*"))
    began = time.monotonic()
    try:
        code = main(command(verb, data, tmp_path / "out", *filter(None, [option])))
    except SystemExit as exit_:
        code = exit_.code
    took = time.monotonic() - began
    printed = capsys.readouterr()
    assert code == 2 and printed.out == ""
    assert printed.err.count("\n") == 1 and "Traceback" not in printed.err
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written"
    assert took < 5
    flag, _, value = option.partition(" ")
    words = {flag.strip("-"), flag.strip("-").replace("-", "_"), *value[:40].replace("/", " ").split()}
    words |= {flag} if option else {"command"}
    words |= set(json.loads(value)) if flag == "--training" else set()
    assert any(word in printed.err for word in words if word and word not in ("-", "x"))
