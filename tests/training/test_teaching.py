"""The teacher learns too: a stage between mining and scoring, resumed like the others, left out by default."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from st_mta.errors import InputError
from st_mta.mining import load_scored
from st_mta.run.results import Quality, Scored, Taught
from st_mta.scorers import BM25, CrossEncoderScorer
from st_mta.stores import Store
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.stages import ITERATION, teach, with_teaching
from tests.tiny import tiny_cross_encoder
from tests.training.toy_run import DieAfter, killed, rewound, toy_trainer

LEARNS = {"teacher_learns": "stage", "teacher_learning_rate": 1e-3, "eval_depth": 10, "regression_epochs": 0.0}


def teaching_trainer(folder, store_folder, collection, **changes):
    store = Store(store_folder)
    teacher = CrossEncoderScorer(tiny_cross_encoder(2), name="T", store=store, precision="fp32")
    options = {"teacher": teacher, "assistants": [BM25(store=store)], "store": store}
    return toy_trainer(folder, store_folder, collection, **options, **{**LEARNS, **changes})


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, toy_collection):
    folder = tmp_path_factory.mktemp("teaching")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teach, "_quality_so_far", lambda *_: -1.0)  # whatever it has learned is taken
        write = lambda root, report, **_: (root / "report.json").write_text(json.dumps(report))  # noqa: E731
        patch.setattr("st_mta.training.trainer.write_report", write)
        trainer = teaching_trainer(folder / "out", folder / "store", toy_collection)
        return folder, trainer, trainer.train()


def test_the_lists_are_scored_by_what_the_teacher_became(finished):
    folder, trainer, _ = finished
    journal = trainer.distillation.journal
    assert "iteration-00/teach" not in journal  # the student has nothing to teach yet
    scorers = [journal.result(f"iteration-0{index}/score", Scored).scorers for index in (0, 1)]
    assert scorers == [["T", "bm25"], ["T, iteration-01", "bm25"]]
    learned = CrossEncoderScorer(str(folder / "out/iteration-01/teacher"), precision="fp32", device="cpu")
    lists, collection = load_scored(folder / "out/iteration-01"), trainer.collection
    pairs = lists.candidates.pair_queries, lists.candidates.passages
    torch.testing.assert_close(
        torch.from_numpy(learned.score(collection.queries, collection.corpus, *pairs)),
        torch.from_numpy(lists.scores[0]),
    )


def test_it_learns_from_the_student_and_the_judgements(finished):
    folder, trainer, _ = finished
    journal = trainer.distillation.journal
    taught = journal.result("iteration-01/teach", Taught)
    assert taught.kept and taught.steps == 3 and taught.trained_with["class"].endswith("ListwiseRerankerLoss")
    assert taught.trained_with["config"]["contrastive_weight"] == 1.0
    lists = load_scored(folder / "out/iteration-01/teaching")
    assert len(lists.scores) == 1 and lists.candidates.positive.any()
    pairs = lists.candidates.pair_queries, lists.candidates.passages
    scores = [
        trainer.distillation.students.scorer(folder / "out" / place, "student").score(
            trainer.collection.queries, trainer.collection.corpus, *pairs
        )
        for place in ("student-before", "iteration-00/student")
    ]
    assert any(np.allclose(one, lists.scores[0], atol=1e-5) for one in scores)  # of the better of the two


def test_the_users_teacher_stays_as_it_was(finished):
    folder, trainer, _ = finished
    before, given = tiny_cross_encoder(2).state_dict(), trainer.distillation.initial_scorers[0].original.state_dict()
    assert all(torch.equal(given[name], before[name]) for name in before)
    learned = weights(folder / "out/iteration-01/teacher")
    assert any(not torch.equal(learned[name], before[f"0.model.{name}"]) for name in learned)


def test_the_report_names_it(finished):
    _, _, report = finished
    assert (
        report["iterations"][1]["teacher"]["name"] == "T, iteration-01" and report["iterations"][1]["teacher"]["kept"]
    )
    assert "teacher" not in report["iterations"][0] and list(report["iterations"][1]["seconds"])[1] == "teach"
    assert report["teacher"]["name"] == "T"


def test_a_killed_run_resumes_to_the_same_teacher_and_student(finished, toy_collection, tmp_path):
    folder, _, _ = finished
    out = rewound(folder / "out", tmp_path / "out", "iteration-01/score")
    shutil.rmtree(out / "iteration-01/student")
    run = teaching_trainer(out, folder / "store", toy_collection).distillation
    run.learn()
    assert run.pool.teacher.name == "T, iteration-01" and not list(out.rglob("checkpoint-*"))
    ours, theirs = (weights(root / "iteration-01/student") for root in (out, folder / "out"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_teacher_killed_in_its_training_learns_the_same(finished, toy_collection, tmp_path, monkeypatch):
    folder, _, _ = finished
    out = rewound(folder / "out", tmp_path / "out", "iteration-01/teach")
    shutil.rmtree(out / "iteration-01/teacher")
    monkeypatch.setattr(teach, "_quality_so_far", lambda *_: -1.0)
    inner = teach.train_with_checkpoints
    dying = lambda *given, **named: inner(*given, **{**named, "callbacks": [DieAfter(2)]})  # noqa: E731
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(teach, "train_with_checkpoints", dying)
        teaching_trainer(out, folder / "store", toy_collection).distillation.learn()
    assert list((out / "iteration-01/teaching/checkpoints").glob("checkpoint-2"))
    with killed(monkeypatch, "score", times=2):
        teaching_trainer(out, folder / "store", toy_collection).distillation.learn()
    ours, theirs = (weights(root / "iteration-01/teacher") for root in (out, folder / "out"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs) and not list(out.rglob("checkpoint-*"))


def test_a_teacher_that_became_worse_is_not_taken(finished):
    run = finished[1].distillation
    before, measured = run.pool.teacher, run.journal.result("quality", Quality).dev["T"]["ndcg@10"]
    run.take_teacher(1, Taught(teacher="worse", kept=False))
    assert run.pool.teacher is before
    assert teach._quality_so_far(run, 1) == measured
    assert teach._quality_so_far(run, 2) == run.journal.result("iteration-01/teach", Taught).dev["ndcg@10"]


def test_by_default_no_stage_is_added():
    names = [stage.name for stage in with_teaching(ITERATION)]
    assert names == ["mine", "teach", "score", "train", "evaluate", "promote"] and names[1] not in {*ITERATION}
    assert MultiAssistantTrainingArguments("out", use_cpu=True).teacher_learns is None


def test_what_cannot_learn_is_refused(tmp_path, toy_collection):
    with pytest.raises(InputError, match="a cross-encoder as teacher"):
        toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **LEARNS)
    with pytest.raises(InputError, match="teacher_learns='stage' beside"):
        MultiAssistantTrainingArguments("out", use_cpu=True, teacher_learning_rate=1e-5)
