"""Command lines, settings files and variables that no command can use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import yaml

from benchmarks.faults.drills import Drill
from benchmarks.faults.material import Material
from benchmarks.faults.processes import run

NUMBERS: dict[str, tuple[str, ...]] = {
    "--num-iterations": ("0", "-1", "1.5", "true", "nan", "x"),
    "--num-candidates": ("0", "1", "-3", "x"),
    "--batch-size": ("0", "-1", "1.5", "x"),
    "--learning-rate": ("-1", "nan", "inf", "x"),
    "--epochs": ("nan", "-1", "inf", "x"),
    "--regression-epochs": ("nan", "-1", "x"),
    "--seed": ("-1", str(2**40), str(2**70), "4.2", "x"),
    "--alpha": ("-0.1", "1.1", "nan", "yes"),
    "--max-length": ("0", "1", "2", "-5", "x"),
    "--queries-per-iteration": ("0", "-3", "x"),
    "--student-layers": ("7", "-1", "x"),
    "--patience": ("-1", "0", "x"),
    "--range-max": ("0", "-1"),
    "--range-min": ("-1", "200"),
}
WORDS: dict[str, tuple[str, ...]] = {
    "--fusion": ("os:system", "nomodule:f", "mean2", "os:nothing", "builtins:print"),
    "--selection": ("os:system", "nowhere:f", "x"),
    "--loss": ("os:system", "klx", "nowhere:f"),
    "--sampling-strategy": ("best",),
    "--curriculum": ("hard",),
    "--precision": ("fp64", "bf17"),
    "--device": ("gpu9", "cuda:99"),
    "--teacher": ("no/such/folder", "/etc", "", "bm26"),
    "--student": ("no/such/folder", "bm25", ""),
    "--assistants": ("bm26", "no/such/folder"),
    "--collection": ("no/such/folder", "", "/etc/hostname", "5"),
    "--config": ("no-such.yaml", "/etc"),
    "--training": ("{", "[]", "5", '"x"', '{"no_such_argument": 1}', '{"save_steps": 0}', '{"seed": -1}'),
}
TRAINING: tuple[dict[str, object], ...] = (
    {"load_best_model_at_end": "x"}, {"per_device_eval_batch_size": 0}, {"max_eval_queries": -1},
    {"documents_per_forward": 0}, {"warmup_steps": -1}, {"weight_decay": "x"}, {"optim": "no_such_optimiser"},
    {"lr_scheduler_type": "zigzag"}, {"max_grad_norm": float("nan")}, {"dropout": 2}, {"dropout": -1},
    {"teacher_temperature": 0}, {"save_steps": -2}, {"logging_steps": -1}, {"gradient_accumulation_steps": 0},
    {"eval_strategy": "sometimes"}, {"adam_beta1": 2}, {"num_train_epochs": None}, {"report_to": "nobody"},
)  # fmt: skip
YAML: dict[str, str] = {
    "iterations 1.5": "num_iterations: 1.5",
    "iterations true": "num_iterations: true",
    "seed 4.2": "seed: 4.2",
    "alpha yes": "alpha: yes",
    "collection 5": "collection: 5",
    "collection list": "collection: [a, b]",
    "rate list": "learning_rate: [1]",
    "layers words": "student_layers: [first]",
    "layers map": "student_layers: {a: 1}",
    "keys": "5: 3",
    "list": "- a\n- b",
    "text": "just text",
    "twice": "seed: 1\nseed: 2",
    "misspelt": "num_iteration: 1",
    "tag": "seed: !!python/object/apply:os.system ['true']",
    "broken": "seed: [1",
    "tab": "seed:\t\t- 1\n\tx",
    "binary": "seed: \x00",
    "training list": "training: [1]",
    "training rate": "training: {weight_decay: x}",
    "assistants map": "assistants: {bm25: 1}",
    "output list": "output_dir: [a]",
}
EVALUATE: dict[str, tuple[str, ...]] = {
    "--depth": ("0", "-1", "x", "1.5"),
    "--split": ("nope", ""),
    "--model": ("no/such", "bm26", ""),
    "--benchmark": ("no-such-benchmark",),
    "--data": ("no/such/folder",),
    "--max-length": ("-1", "x"),
}
OTHERS: dict[str, list[str]] = {
    "no verb": [],
    "unknown verb": ["distil"],
    "no options": ["distill"],
    "unknown option": ["distill", "--no-such-option", "3"],
    "twice": ["evaluate", "--collection", "C", "--model", "bm25", "bm25", "--output-dir", "O"],
    "score without pairs": ["score", "--collection", "C", "--scorer", "bm25", "--output", "x.trec"],
    "score csv": ["score", "--collection", "C", "--scorer", "bm25", "--pairs", "P", "--output", "s.csv"],
    "mine csv": ["mine", "--collection", "C", "--retrievers", "bm25", "--output", "m.csv"],
    "mine split": ["mine", "--collection", "C", "--retrievers", "bm25", "--split", "nope", "--output", "m.parquet"],
    "mine seed": ["mine", "--collection", "C", "--retrievers", "bm25", "--seed", "-1", "--output", "m.parquet"],
    "mine none": ["mine", "--collection", "C", "--retrievers", "--output", "m.parquet"],
    "teacher batch": ["teacher", "--collection", "C", "--base", "M/teacher", "--batch-size", "0", "--output-dir", "O"],
    "teacher seed": ["teacher", "--collection", "C", "--base", "M/teacher", "--seed", "-1", "--output-dir", "O"],
    "teacher rate": "teacher --collection C --base M/teacher --learning-rate nan --output-dir O".split(),
    "teacher base": ["teacher", "--collection", "C", "--base", "no/such", "--output-dir", "O"],
    "assistants base": ["assistants", "--collection", "C", "--base", "no/such", "--output-dir", "O"],
    "report nowhere": ["report", "O"],
    "push nowhere": ["push", "O", "--repo", "me/small", "--dry-run"],
    "push id": ["push", "O", "--repo", "small", "--dry-run"],
    "push-scores nothing": ["push-scores", "--repo", "me/x", "--store", "O", "--dry-run"],
    "cache clear": ["cache", "--store", "O", "--clear", "abc"],
    "diagnose": ["diagnose", "--collection", "C", "--teacher", "bm26", "--assistants", "bm25"],
    "output in collection": "distill --collection C --teacher M/teacher --student M/student --output-dir C".split(),
}  # fmt: skip
REFUSED = "exit code 0: accepted"


def drills(_: int) -> Iterator[Drill]:
    """Some 160 command lines."""
    for option, values in (NUMBERS | WORDS).items():
        for value in values:
            yield _drill(f"{option} {value}", partial(_distill, more=(option, value)))
    for arguments in TRAINING:
        yield _drill(f"training {arguments}", partial(_distill, more=("--training", json.dumps(arguments))))
    for name, text in YAML.items():
        yield _drill(f"yaml {name}", partial(_by_yaml, text=text))
    for option, values in EVALUATE.items():
        for value in values:
            yield _drill(f"evaluate {option} {value}", partial(_evaluate, more=(option, value)))
    for name, arguments_of in OTHERS.items():
        yield _drill(name, partial(_other, arguments=arguments_of))
    yield _drill("variable ST_MTA_DATA", partial(_variable, name="ST_MTA_DATA", value="/no/such/folder"))
    yield _drill("variable ST_MTA_PRECISION", partial(_variable, name="ST_MTA_PRECISION", value="fp64"))


def _drill(name: str, work: object) -> Drill:
    return Drill("bad arguments", name, work)  # type: ignore[arg-type]


HARMLESS = {"--patience 0", "--max-length 1", "--max-length 2"}
"""Values that may be taken, as long as no traceback comes of them."""


def _judged(
    arguments: list[str], folder: Path, accepted: bool = False, environment: dict[str, str] | None = None
) -> str:
    done = run(arguments, folder / "here", environment)
    return REFUSED if done.code == 0 and not accepted else done.wrong(0, 2)


def _base(material: Material, folder: Path) -> list[str]:
    return material.distill(folder / "out", folder / "store")


def _distill(material: Material, folder: Path, more: tuple[str, str]) -> str:
    return _judged([*_base(material, folder), *more], folder, " ".join(more) in HARMLESS)


def _by_yaml(material: Material, folder: Path, text: str) -> str:
    """Everything in a settings file, the lines of the drill behind it."""
    folder.mkdir(parents=True, exist_ok=True)
    given = {
        "collection": str(material.collection), "teacher": str(material.models / "teacher"), "assistants": ["bm25"],
        "student": str(material.models / "student"), "output_dir": str(folder / "out"), "store": str(folder / "store"),
        "num_iterations": 1, "device": "cpu", "precision": "fp32",
    }  # fmt: skip
    own = text.partition(":")[0]
    lines = yaml.safe_dump({name: value for name, value in given.items() if name != own})
    alone = text in (YAML["list"], YAML["text"])
    (folder / "config.yaml").write_text(text if alone else f"{lines}{text}\n")
    return _judged(["distill", "--config", str(folder / "config.yaml")], folder)


def _evaluate(material: Material, folder: Path, more: tuple[str, str]) -> str:
    base = [
        "evaluate",
        "--collection",
        str(material.collection),
        "--model",
        "bm25",
        "--output-dir",
        str(folder / "out"),
    ]
    return _judged([*base, *more], folder)


def _other(material: Material, folder: Path, arguments: list[str]) -> str:
    pairs = next((material.whole / "runs").glob("bm25.trec"))
    places = {"C": material.collection, "M": material.models, "O": folder / "nothing", "P": pairs}
    known = [str(places[part]) if part in places else part.replace("M/", f"{material.models}/") for part in arguments]
    return _judged(known, folder, accepted=not arguments)


def _variable(material: Material, folder: Path, name: str, value: str) -> str:
    command = ["evaluate", "--collection", "scifact", "--model", str(material.models / "student")]
    return _judged([*command, "--output-dir", str(folder / "out")], folder, environment={name: value})
