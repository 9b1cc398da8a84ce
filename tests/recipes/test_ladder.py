"""A ladder distils into ever fewer layers; each student helps to teach the next."""

from __future__ import annotations

import json
import logging

import pytest

from st_mta.cli.main import main
from st_mta.errors import InputError
from st_mta.recipes import distill as recipe
from st_mta.recipes.distill import DistillConfig, distill
from st_mta.recipes.ladder import steps_of
from st_mta.scorers import load_student
from st_mta.training.students import spread_layers
from tests.tiny import saved, tiny_cross_encoder, tiny_sentence_transformer

QUICK = {"device": "cpu", "num_iterations": 1, "regression_epochs": 0.0, "num_candidates": 3, "precision": "fp32"}


def write_collection(root):
    (root / "qrels").mkdir(parents=True)
    texts = ["the cat eats", "a dog runs", "fish in the sea", "the sun shines", "a red car", "old house"]
    words = ["cat", "dog", "fish", "sun", "car", "house"]
    for name, rows in (("corpus", texts), ("queries", words)):
        lines = [json.dumps({"_id": f"{name[0]}{place}", "text": text}) for place, text in enumerate(rows)]
        (root / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    for split, places in (("train", (0, 1, 2, 3)), ("dev", (4,)), ("test", (5,))):
        lines = [f"q{place}\tc{place}\t1" for place in places]
        (root / "qrels" / f"{split}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n")
    return str(root)


def config_of(tmp_path, **changes):
    chosen = {"collection": "c", "teacher": "t", "student": "s", "output_dir": str(tmp_path / "out")}
    return DistillConfig(**{**chosen, **changes})


def test_every_step_is_cut_from_the_one_before_and_taught_by_it(tmp_path):
    config = config_of(tmp_path, ladder=[4, 2, 1], assistants=["bm25"], student_vocabulary="collection", seed=7)
    first, second, third, last = steps_of(config, 6)
    out = tmp_path / "out"
    assert (first.student, first.student_layers, first.assistants) == ("s", [], ["bm25"])
    assert second.student == str(out / "6-layers/student") and second.student_layers == [0, 2, 3, 5]
    assert second.assistants == ["bm25", second.student] and third.assistants == ["bm25", third.student]
    assert third.student == str(out / "4-layers/student") and third.student_layers == [0, 3]
    assert last.student_layers == [0] and last.output_dir == str(out / "1-layers")
    assert [step.student_vocabulary for step in (first, second)] == ["collection", "whole"]
    assert {step.seed for step in (first, second, third, last)} == {7} and not any(first.ladder + last.ladder)


def test_layers_are_spread_over_the_depth():
    assert spread_layers(3, 12) == [0, 6, 11] and spread_layers(1, 6) == [0] and spread_layers(4, 4) == [0, 1, 2, 3]


def test_ladders_that_do_not_lead_down_are_refused(tmp_path):
    for ladder in ([2, 4], [2, 2]):
        with pytest.raises(InputError, match="ever fewer layers"):
            config_of(tmp_path, ladder=ladder)
    with pytest.raises(InputError, match="below the 4 layers"):
        steps_of(config_of(tmp_path, ladder=[4]), 4)
    with pytest.raises(ValueError, match="ladder"):
        config_of(tmp_path, ladder=[0])


def test_the_command_distils_step_by_step_and_resumes(tmp_path, monkeypatch, capsys):
    student = saved(tiny_sentence_transformer(1, layers=2), tmp_path / "model")
    teacher = saved(tiny_cross_encoder(2), tmp_path / "teacher")
    config = tmp_path / "config.yaml"
    inputs = {"collection": write_collection(tmp_path / "data"), "teacher": teacher, "student": student}
    inputs |= {"assistants": ["bm25"], "output_dir": str(tmp_path / "out"), "store": str(tmp_path / "store")}
    config.write_text(json.dumps({**QUICK, **inputs}))
    command = ["distill", "--config", str(config), "--ladder", "1"]
    begun, work = [], recipe.run_trainer
    # Plots take most of the time of so small a run.
    only_json = lambda root, report, **_: (root / "report.json").write_text(json.dumps(report))  # noqa: E731
    monkeypatch.setattr("st_mta.training.trainer.write_report", only_json)

    def dying(trainer, config):
        begun.append(config.output_dir)
        if len(begun) == 2:
            raise InputError(expected="no kill", got="one", remedy="resume")
        return work(trainer, config)

    monkeypatch.setattr(recipe, "run_trainer", dying)
    assert main(command) == 2  # the second step was killed
    assert main(command) == 0
    assert [path.rpartition("/")[2] for path in begun] == ["2-layers", "1-layers"] * 2
    assert str(tmp_path / "out/1-layers/student") in capsys.readouterr().out
    rows = json.loads((tmp_path / "out/ladder.json").read_text())
    assert [row["layers"] for row in rows] == [2, 1] and rows[0]["parameters"] > rows[1]["parameters"]
    small = load_student(tmp_path / "out/1-layers/student", device="cpu")
    assert small.transformers_model.config.num_hidden_layers == 1
    report = json.loads((tmp_path / "out/1-layers/report.json").read_text())
    assert [entry["name"] for entry in report["assistants"]] == ["bm25", str(tmp_path / "out/2-layers/student")]
    logging.getLogger("st_mta").setLevel(logging.NOTSET)


def test_distill_itself_takes_a_ladder(tmp_path, monkeypatch):
    from st_mta.recipes import ladder

    seen = []
    monkeypatch.setattr(ladder, "climb_down", lambda config: seen.append(config.ladder))
    distill(config_of(tmp_path, ladder=[1]))
    assert seen == [[1]]
