"""The best student on dev is delivered: an iteration's, the warmed-up one, or the untrained one."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import TrainerCallback

from st_mta.assistants.pool import AssistantPool
from st_mta.mining import load_candidates
from tests.tiny import tiny_sentence_transformer
from tests.training.test_trainer import assert_same, weights
from tests.training.toy_run import toy_trainer

WRECKING = 0.123
"""A learning rate by which the tests know the trainings whose students are to be of no use."""


class Wreck(TrainerCallback):
    """Leaves no weight: all texts end in one place, on every machine."""

    def on_train_end(self, args, state, control, model=None, **_):
        if args.learning_rate == WRECKING:
            with torch.no_grad():
                for weight in model.parameters():
                    weight.zero_()


def dev(report, name):
    if name == "student-before":
        return report["development"]["student_before"]
    if name == "warm-up":
        return report["warm_up"]["dev_ndcg@10"]
    return report["iterations"][int(name[-2:])]["dev"]["ndcg@10"]


@pytest.mark.parametrize(
    ("options", "kept", "said"),
    [
        ({"learning_rate": WRECKING}, "warm-up", "No iteration"),
        ({"learning_rate": WRECKING, "regression_learning_rate": WRECKING}, "student-before", "No training"),
        ({"learning_rate": WRECKING, "regression_epochs": 0.0}, "student-before", "No training"),
        ({"regression_epochs": 0.0, "learning_rate": 1e-2}, "iteration", None),
    ],
)
def test_a_run_never_delivers_worse_than_it_was_given(toy_collection, tmp_path, options, kept, said):
    callbacks = [Wreck()]
    trainer = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, callbacks=callbacks, **options)
    report = trainer.train()
    assert report["kept"].startswith(kept)
    names = ["student-before", *(["warm-up"] if report["warm_up"] else []), *(
        f"iteration-{entry['iteration']:02d}" for entry in report["iterations"]
    )]  # fmt: skip
    assert dev(report, report["kept"]) == max(dev(report, name) for name in names)
    folder = tmp_path / "out" / report["kept"]
    assert_same(weights(folder if kept == "student-before" else folder / "student"), weights(tmp_path / "out/student"))
    first = (tmp_path / "out" / "report.md").read_text().split("\n")[0]
    assert said is None or said in first, first


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"regression_epochs": 0.0}, "regression_epochs is 0"),
        ({"width": 48, "regression_map": "none"}, "has the student's 48 dimensions"),
    ],
)
def test_a_skipped_warm_up_says_why(toy_collection, tmp_path, options, why):
    student = tiny_sentence_transformer(1, dim=options.pop("width", 32))
    options |= {"student": student, "num_iterations": 1}
    report = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options).train()
    assert report["warm_up"] is None and why in report["warm_up_skipped"]
    assert why in (tmp_path / "out" / "report.md").read_text()


def test_the_card_describes_the_training_that_was_kept(toy_collection, tmp_path):
    """Fitted temperatures and scale, alpha as it came to be, and the pool of that iteration."""
    options = {"regression_epochs": 0.0, "learning_rate": 1e-2, "alpha": 0.7, "target_entropy": 0.8}
    options |= {"regression_map": "none"}
    report = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options).train()
    kept = report["kept"]
    scored = json.loads((tmp_path / "out/state.json").read_text())["stations"][f"{kept}/score"]["result"]
    config = report["loss"]["config"]
    assert config["scale"] == pytest.approx(scored["student_scale"]) and config["scale"] != 20.0
    assert config["alpha"] == 0.7 == scored["alpha"]
    assert config["targets"]["temperatures"] == scored["temperatures"] != [1.0, 1.0, 1.0]
    assert config["targets"]["assistants"] == scored["scorers"][1:]
    card = (tmp_path / "out/student/README.md").read_text()
    assert f'"scale": {config["scale"]}' in card and f"{scored['temperatures'][0]}" in card


def test_each_lineage_mines_once(toy_collection, tmp_path, monkeypatch):
    """After a promotion the promoted student stays in the pool, and only the student of the moment searches."""
    monkeypatch.setattr(AssistantPool, "replaceable", lambda self, *_: "A" if "A" in self.assistant_names else None)
    trainer = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection)
    report = trainer.train()
    run = trainer.distillation
    assert report["iterations"][0]["promoted"] == "A" and "iteration-00" in run.pool.assistant_names
    sources = load_candidates(tmp_path / "out/iteration-01/candidates.parquet").sources
    assert "student" in sources and "iteration-00" not in sources
