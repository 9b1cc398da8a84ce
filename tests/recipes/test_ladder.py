"""A ladder distils into ever fewer layers; each student helps to teach the next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from st_mta.cli import distill as command
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
    with pytest.raises(InputError, match="exits after fewer layers than the 2 of the ladder's last student"):
        steps_of(config_of(tmp_path, ladder=[3, 2], exits=[1, 2]), 4)
    assert len(steps_of(config_of(tmp_path, ladder=[3, 2], exits=[1]), 4)) == 3


def test_the_command_distils_step_by_step(tmp_path, monkeypatch):
    student = saved(tiny_sentence_transformer(1, layers=2), tmp_path / "model")
    config = tmp_path / "config.yaml"
    inputs = {"collection": write_collection(tmp_path / "data"), "student": student}
    inputs |= {"teacher": saved(tiny_cross_encoder(2), tmp_path / "teacher"), "output_dir": str(tmp_path / "out")}
    config.write_text(json.dumps({**QUICK, **inputs, "assistants": ["bm25"], "store": str(tmp_path / "store")}))
    begun = []

    def run_trainer(trainer, config):
        """A run, all but the training; the second step is killed once."""
        begun.append(Path(config.output_dir).name)
        if len(begun) == 2:
            raise InputError(expected="no kill", got="one", remedy="resume")
        run = trainer.distillation
        assert [scorer.name for scorer in run.pool.assistants] == config.assistants
        run.folder.prepare()
        run.journal.open()
        run.students.save(trainer.model, run.folder.student)
        entry = {"layers": trainer.model.transformers_model.config.num_hidden_layers, "parameters": 9 - len(begun)}
        return {"student": {**entry, "ndcg@10": 0.5, "queries_per_second": 1.0}}

    monkeypatch.setattr(recipe, "run_trainer", run_trainer)
    shown = []
    monkeypatch.setattr(command, "show", lambda report, folder: shown.append((report["student"]["layers"], folder)))
    assert main(["distill", "--config", str(config), "--ladder", "1"]) == 2
    assert main(["distill", "--config", str(config), "--ladder", "1"]) == 0
    assert begun == ["2-layers", "1-layers"] * 2
    assert shown == [(1, str(tmp_path / "out/1-layers"))]
    assert [row["layers"] for row in json.loads((tmp_path / "out/ladder.json").read_text())] == [2, 1]
    small = load_student(tmp_path / "out/1-layers/student", device="cpu")
    assert small.transformers_model.config.num_hidden_layers == 1


def test_distill_itself_takes_a_ladder(tmp_path, monkeypatch):
    from st_mta.recipes import ladder

    seen = []
    monkeypatch.setattr(ladder, "climb_down", lambda config: seen.append(config.ladder))
    distill(config_of(tmp_path, ladder=[1]))
    assert seen == [[1]]
