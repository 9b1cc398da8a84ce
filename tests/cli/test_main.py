"""The command line: what it prints, what it writes, and one message with exit code 2 for wrong input."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
import yaml

from st_mta.cli.main import VERBS, main
from st_mta.errors import InputError
from tests.tiny import saved, tiny_sentence_transformer


@pytest.fixture(scope="module")
def data(tmp_path_factory, toy_collection):
    """The toy collection as a folder, and two models beside it."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "data" / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", toy_collection.corpus), ("queries", toy_collection.queries)):
        rows = ({"_id": i, "text": t} for i, t in zip(texts.ids, texts.take(range(len(texts)))))
        (folder / "data" / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    for split, qrels in toy_collection.qrels.items():
        rows = [f"{q}\t{p}\t{g}" for q, judged in qrels.items() for p, g in judged.items()]
        (folder / "data" / "qrels" / f"{split}.tsv").write_text(
            "\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n"
        )
    saved(tiny_sentence_transformer(1, layers=3), folder / "student")
    saved(tiny_sentence_transformer(2), folder / "teacher")
    return folder


def refused(capsys, *arguments):
    """The one message a refused command line prints."""
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err and captured.err.count("\n") == 1
    return captured.err


def distill_arguments(data, output, *more):
    return [
        "distill", "--collection", data / "data", "--teacher", data / "teacher", "--student", data / "student",
        "--student-layers", "0", "2", "--assistants", "bm25", "--output-dir", output, "--device", "cpu",
        "--num-iterations", "1", "--num-candidates", "4", "--batch-size", "8", "--regression-epochs", "1", *more,
    ]  # fmt: skip


def test_help_names_every_verb(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(verb in printed for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_for_every_option(verb, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([verb, "--help"])
    assert exit_.value.code == 0
    printed = capsys.readouterr().out
    assert f"usage: st-mta {verb} " in printed and "--help" in printed


def test_distill_writes_the_contract_and_recognises_a_finished_run(data, tmp_path, capsys):
    arguments = [str(a) for a in distill_arguments(data, tmp_path / "out")]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    for part in ("student", "runs/student.trec", "report.json", "report.md", "config.yaml", "plots/quality.png"):
        assert (tmp_path / "out" / part).exists(), part
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {"collection", "teacher", "assistants", "student", "student_before", "recovered", "iterations"} <= set(
        report
    )
    stamp = (tmp_path / "out" / "state.json").stat().st_mtime_ns
    assert main(arguments) == 0
    assert capsys.readouterr().out == first
    assert (tmp_path / "out" / "state.json").stat().st_mtime_ns == stamp


def test_diagnose_names_the_closest_assistant(data, tmp_path, capsys):
    command = ["diagnose", "--collection", data / "data", "--teacher", data / "teacher", "--assistants", "bm25"]
    assert main([str(a) for a in [*command, data / "student", "--output-dir", tmp_path / "out"]]) == 0
    found = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    assert len(found["members"]) == 3 and found["teacher"]["kl"] == 0
    assert (tmp_path / "out" / "agreement.png").stat().st_size > 10_000
    assert f"Closest to the teacher: {found['members'][0]['name']}" in " ".join(capsys.readouterr().out.split())


def test_diagnose_shows_the_fitted_weights(data, tmp_path, capsys):
    command = ["diagnose", "--collection", data / "data", "--teacher", data / "teacher", "--assistants", "bm25"]
    options = [data / "student", "--fusion", "weighted", "--calibration", "zscore", "--output-dir", tmp_path / "out"]
    assert main([str(a) for a in [*command, *options]]) == 0
    found = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    assert (found["fusion"], found["calibration"]) == ("weighted", "zscore")
    assert sum(found["weights"].values()) == pytest.approx(1)
    assert f"of these queries: bm25 {found['weights']['bm25']:.2f}, " in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("option", [["--fusion", "median"], ["--calibration", "minmax"], ["--fusion", "nowhere:rule"]])
def test_diagnose_refuses_what_it_does_not_know(data, tmp_path, capsys, option):
    command = ["diagnose", "--collection", data / "data", "--teacher", data / "teacher", "--assistants", "bm25"]
    assert main([str(a) for a in [*command, *option, "--output-dir", tmp_path / "out"]]) == 2
    assert option[1] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_flags_win_over_the_file(data, tmp_path):
    options = {"collection": str(data / "data"), "teacher": "bm25", "student": str(data / "student"), "seed": 3}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(options))
    from st_mta.cli.parse import parse
    from st_mta.recipes.distill import DistillConfig

    given = ["--config", str(tmp_path / "recipe.yaml"), "--output-dir", "out", "--seed", "4"]
    config = parse(DistillConfig, given, "distill", "")
    assert (config.teacher, config.seed, config.output_dir, config.assistants) == ("bm25", 4, "out", [])


def test_the_options_of_the_iterations_reach_the_trainer(tmp_path):
    from st_mta.cli.parse import parse
    from st_mta.recipes.distill import DistillConfig, training_arguments

    given = {
        "calibration": "zscore", "alpha_end": 0.25, "curriculum": "weighted", "patience": 3, "target_entropy": 0.7,
        "regression_weight": 0.5, "fusion": "weighted", "selection": "st_mta.assistants.selection:footrule",
        "filter_false_negatives": "absolute",
    }  # fmt: skip
    flags = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    flags += ["--collection", "x", "--teacher", "bm25", "--student", "x", "--output-dir", str(tmp_path)]
    flags += ["--filter-margins", "-1", "0.5"]
    arguments = training_arguments(parse(DistillConfig, flags, "distill", ""))
    assert arguments.filter_margins == [-1.0, 0.5]
    assert {name: getattr(arguments, name) for name in given} == given


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--calibration", "minmax", "calibration"),
        ("--curriculum", "easy", "curriculum"),
        ("--fusion", "median", "module:function"),
        ("--selection", "nowhere.to.be:found", "cannot be imported"),
        ("--patience", "0", "patience"),
        ("--alpha-end", "2", "alpha_end"),
        ("--regression-weight", "-1", "regression_weight"),
        ("--regression-weight", "1", "regression_weight=0"),
    ],
)
def test_a_wrong_option_of_the_iterations(data, tmp_path, capsys, flag, value, message):
    arguments = distill_arguments(data, tmp_path / "out", f"{flag}={value}")
    if message == "regression_weight=0":  # nobody has embeddings
        arguments[arguments.index("--teacher") + 1] = scores = tmp_path / "scores.trec"
        scores.write_text("".join(f"q{i} Q0 p{i} 1 1.0 x\nq{i} Q0 p{i + 1} 2 0.5 x\n" for i in range(40)))
    assert message in refused(capsys, *arguments)


def test_mine_then_score_then_distil_from_the_scores(data, tmp_path, capsys):
    candidates, scores = tmp_path / "candidates.parquet", tmp_path / "scores.parquet"
    mined = ["mine", "--collection", data / "data", "--retrievers", "bm25", data / "teacher", "--output", candidates]
    assert main([str(a) for a in [*mined, "--num-candidates", "8"]]) == 0
    table = pq.read_table(candidates)
    assert table.column_names == ["query_id", "passage_id", "positive", "grade", "source"]
    scored = ["score", "--collection", data / "data", "--scorer", data / "teacher", "--pairs", candidates]
    assert main([str(a) for a in [*scored, "--output", scores]]) == 0
    assert pq.read_table(scores).num_rows == table.num_rows
    assert main([str(a) for a in [*scored, "--output", tmp_path / "scores.trec"]]) == 0
    fields = (tmp_path / "scores.trec").read_text().splitlines()[0].split()
    assert len(fields) == 6 and fields[3] == "1"
    arguments = distill_arguments(data, tmp_path / "out")
    arguments[arguments.index("--teacher") + 1] = scores
    assert main([str(a) for a in arguments]) == 0
    assert "of its teacher's" not in capsys.readouterr().out  # the scores are those of the training queries


def test_evaluate_writes_measures_runs_and_tests(data, tmp_path, capsys):
    arguments = ["evaluate", "--model", "bm25", data / "teacher", "--collection", data / "data"]
    assert main([str(a) for a in [*arguments, "--output-dir", tmp_path / "out"]]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(results) == {"bm25", str(data / "teacher")}
    assert 0 < results["bm25"]["data"]["ndcg@10"] <= 1
    assert len(list((tmp_path / "out" / "runs" / "data").glob("*.trec"))) == 2
    assert json.loads((tmp_path / "out" / "tests.json").read_text())[0]["against"] == "bm25"
    assert "ndcg@10" in capsys.readouterr().out


def test_evaluate_expands_benchmarks_and_says_how_each_is_measured(data, tmp_path, capsys):
    for name in ("trec-dl-2019", "trec-dl-2020", "mine"):
        shutil.copytree(data / "data", tmp_path / "sets" / name)
    arguments = ["evaluate", "--model", "bm25", "--collection", data / "data", "--split", "dev"]
    arguments += ["--benchmark", "trec-dl", "mine", "--data", tmp_path / "sets", "--output-dir", tmp_path / "out"]
    assert main([str(a) for a in arguments]) == 0
    assert list(json.loads((tmp_path / "out" / "results.json").read_text())["bm25"]) == [
        "data", "trec-dl-2019", "trec-dl-2020", "mine",
    ]  # fmt: skip
    printed = " ".join(capsys.readouterr().out.split())
    assert "Measures on the dev split; trec-dl-2019 on test" in printed
    assert "trec-dl-2020 relevant from grade 2" in printed and "mean of 4" in printed
    wrong = refused(capsys, "evaluate", "--model", "bm25", "--benchmark", "sciffact", "--output-dir", tmp_path / "no")
    assert "sciffact" in wrong and not (tmp_path / "no").exists()


def test_cache_lists_and_clears(data, tmp_path, capsys):
    store = tmp_path / "store"
    arguments = ["evaluate", "--model", data / "teacher", "--collection", data / "data", "--store", store]
    assert main([str(a) for a in [*arguments, "--output-dir", tmp_path / "out"]]) == 0
    assert main(["cache", "--store", str(store)]) == 0
    assert "bi-encoder" in capsys.readouterr().out
    assert main(["cache", "--store", str(store), "--clear", "all"]) == 0
    assert "freed" in capsys.readouterr().out
    assert not list(store.rglob("*.npy"))
    assert "fits 0" in refused(capsys, "cache", "--store", store, "--clear", "abc")


def test_an_unknown_command_and_an_unknown_flag(capsys):
    assert "no command 'destil'" in refused(capsys, "destil")
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate", "--models", "bm25"])
    assert exit_.value.code == 2


def test_a_missing_collection(data, tmp_path, capsys):
    arguments = distill_arguments(data, tmp_path / "out")
    arguments[2] = tmp_path / "nowhere"
    assert "nowhere" in refused(capsys, *arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("role", ["--teacher", "--assistants", "--student"])
def test_a_model_that_cannot_be_loaded(data, tmp_path, capsys, role):
    arguments = distill_arguments(data, tmp_path / "out")
    arguments[arguments.index(role) + 1] = tmp_path / "no-model"
    assert "no-model" in refused(capsys, *arguments)
    assert not (tmp_path / "out").exists()


def test_the_same_model_as_teacher_and_student(data, tmp_path, capsys):
    arguments = [a for a in distill_arguments(data, tmp_path / "out") if a not in ("--student-layers", "0", "2")]
    arguments[arguments.index("--student") + 1] = data / "teacher"
    assert "not its own teacher" in refused(capsys, *arguments)


def test_layers_the_student_does_not_have(data, tmp_path, capsys):
    arguments = [9 if a == "2" else a for a in distill_arguments(data, tmp_path / "out")]
    assert "between 0 and 2" in refused(capsys, *arguments)


def stored_teacher(data, path, scores):
    """A run file with the given scores, repeated, for the first passages of every training query."""
    rows = [f"q{q} Q0 p{p} 1 {scores[p % len(scores)]} x" for q in range(24) for p in range(60)]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_teacher_whose_scores_went_through_a_sigmoid(data, tmp_path, capsys):
    arguments = distill_arguments(data, tmp_path / "out")
    scores = stored_teacher(data, tmp_path / "teacher.trec", [0.9991, 0.0003, 0.0012, 0.9984, 0.0007])
    arguments[arguments.index("--teacher") + 1] = scores
    assert "raw logits" in refused(capsys, *arguments)


@pytest.mark.parametrize("broken", ["nan", "inf"])
def test_scores_that_are_no_numbers(data, tmp_path, capsys, broken):
    arguments = distill_arguments(data, tmp_path / "out")
    scores = stored_teacher(data, tmp_path / "teacher.trec", [1.0, broken, 2.0])
    arguments[arguments.index("--teacher") + 1] = scores
    assert "teacher.trec" in refused(capsys, *arguments)


def test_a_teacher_that_knows_one_candidate_per_query(data, tmp_path, capsys):
    (tmp_path / "teacher.trec").write_text("".join(f"q{i} Q0 p{i} 1 3.5 x\n" for i in range(40)))
    arguments = distill_arguments(data, tmp_path / "out")
    arguments[arguments.index("--teacher") + 1] = tmp_path / "teacher.trec"
    assert "at least two candidates" in refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("num_iteration: 3", "'num_iterations'"),
        ("- a", "list"),
        ("a: [", "recipe.yaml"),
        ("colection: x", "collection"),
    ],
)
def test_a_yaml_file_with_something_unknown(tmp_path, capsys, content, message):
    (tmp_path / "recipe.yaml").write_text(content)
    assert message in refused(capsys, "distill", "--config", tmp_path / "recipe.yaml")


def test_an_unknown_training_argument(data, tmp_path, capsys):
    arguments = distill_arguments(data, tmp_path / "out", "--training", '{"warmup": 3}')
    assert "warmup" in refused(capsys, *arguments)


def test_training_arguments_that_are_no_json(data, tmp_path, capsys):
    assert "as JSON" in refused(capsys, *distill_arguments(data, tmp_path / "out", "--training", "{warmup"))


def test_training_arguments_from_python_are_a_mapping(tmp_path):
    from st_mta.recipes.distill import DistillConfig, training_arguments

    given = dict(collection="pydocs", teacher="minilm", student="minilm", output_dir=str(tmp_path))
    assert training_arguments(DistillConfig(**given, training={"warmup_steps": 3})).warmup_steps == 3
    with pytest.raises(InputError, match="a mapping for training"):
        training_arguments(DistillConfig(**given, training='{"warmup_steps": 3}'))


def test_an_argument_out_of_range(data, tmp_path, capsys):
    assert "num_candidates at least 2" in refused(
        capsys, *[1 if a == "4" else a for a in distill_arguments(data, tmp_path / "out")]
    )


def test_another_configuration_in_the_folder(data, tmp_path, capsys):
    arguments = distill_arguments(data, tmp_path / "out")
    assert main([str(a) for a in arguments]) == 0
    capsys.readouterr()
    assert "alpha" in refused(capsys, *arguments, "--alpha", "0.3")
    assert main([str(a) for a in [*arguments, "--alpha", "0.3", "--overwrite"]]) == 0


def test_an_output_folder_that_is_a_file(data, tmp_path, capsys):
    (tmp_path / "out").write_text("x")
    assert "output folder" in refused(capsys, *distill_arguments(data, tmp_path / "out"))


def test_a_disk_that_fills_up_while_a_model_is_saved(data, tmp_path, capsys, monkeypatch):
    from safetensors import SafetensorError

    from st_mta.training import student_folders

    def full(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    arguments = distill_arguments(data, tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(student_folders, "save_student", full)
        assert "The disk is full" in refused(capsys, *arguments)
    assert main([str(a) for a in arguments]) == 0


def test_python_m_is_the_command():
    done = subprocess.run([sys.executable, "-m", "st_mta", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("st-mta ")


def test_what_both_commands_that_publish_pass_on():
    from st_mta.cli.push import Publishing

    assert Publishing(repo="me/x").how() == {"private": None, "revision": None, "create_pr": False}
    given = Publishing(repo="me/x", private=True, revision="v1", create_pr=True).how()
    assert given == {"private": True, "revision": "v1", "create_pr": True}
