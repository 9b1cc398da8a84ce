"""A file of scores is as good a teacher as the model that made it, on the pairs that it holds."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from st_mta.mining import load_candidates, load_scored
from st_mta.mining.pairs import write_scores
from st_mta.run.results import Scored
from st_mta.scorers import BM25, CrossEncoderScorer, StoredScores
from tests.tiny import tiny_cross_encoder
from tests.training.toy_run import toy_trainer

SMALL = {"num_iterations": 1, "alpha": 0.5, "regression_epochs": 0.0, "regression_weight": 0.0, "save_strategy": "no"}


@pytest.fixture(scope="module")
def live(toy_collection, tmp_path_factory):
    """A run with a live cross-encoder, and a file of what it scored."""
    folder = tmp_path_factory.mktemp("live")
    teacher = CrossEncoderScorer(tiny_cross_encoder(4), name="T", precision="fp32")
    run = toy_trainer(folder / "out", folder / "s", toy_collection, teacher=teacher, assistants=[BM25()], **SMALL)
    run.distillation.learn()
    scored = load_scored(folder / "out" / "iteration-00")
    lists = scored.candidates
    by_rank = np.lexsort((-scored.scores[0], lists.pair_queries))
    for name, order in (("T.parquet", np.arange(len(by_rank))), ("T.trec", by_rank)):
        pairs = lists.pair_queries[order], lists.passages[order], scored.scores[0][order]
        write_scores(folder / name, toy_collection, *pairs, tag="T")
    return folder


@pytest.mark.parametrize("file", ["T.parquet", "T.trec"])
def test_a_run_from_a_file_equals_the_run_with_the_live_teacher(toy_collection, tmp_path, live, file):
    """In whatever order its rows are."""
    teacher = StoredScores(live / file, name="T")
    run = toy_trainer(tmp_path / "out", tmp_path / "s", toy_collection, teacher=teacher, assistants=[BM25()], **SMALL)
    run.distillation.learn()
    lists, expected = (load_scored(folder / "out" / "iteration-00") for folder in (tmp_path, live))
    np.testing.assert_array_equal(lists.candidates.passages, expected.candidates.passages)
    np.testing.assert_array_equal(lists.candidates.grades, expected.candidates.grades)
    np.testing.assert_array_equal(lists.scores, expected.scores)
    students = [
        load_file(folder / "out" / "iteration-00" / "student" / "model.safetensors") for folder in (tmp_path, live)
    ]
    assert all(torch.equal(weight, students[1][name]) for name, weight in students[0].items())


def test_every_row_is_a_candidate_of_every_iteration_unless_a_number_is_given(toy_collection, tmp_path):
    corpus = toy_collection.corpus
    queries = toy_collection.queries_of("train")[:20]  # four are not in the file
    teacher, random = CrossEncoderScorer(tiny_cross_encoder(4), precision="fp32"), np.random.default_rng(0)
    passages = np.concatenate([random.permutation(len(corpus))[:32] for _ in queries])
    pairs = np.repeat(queries, 32), passages
    scores = teacher.score(toy_collection.queries, corpus, *pairs)
    write_scores(tmp_path / "T.parquet", toy_collection, *pairs, scores, tag="T")
    stored = StoredScores(tmp_path / "T.parquet", name="T")
    options = {**SMALL, "num_iterations": 2, "num_candidates": None, "curriculum": "none"}
    trainer = toy_trainer(
        tmp_path / "out", tmp_path / "s", toy_collection, teacher=stored, assistants=[BM25()], **options
    )
    trainer.distillation.learn()
    assert trainer.distillation.settled.num_candidates == 64
    for iteration in ("iteration-00", "iteration-01"):
        lists = load_candidates(tmp_path / "out" / iteration / "lists.parquet")
        assert lists.lengths.tolist() == [32] * 20
        listed = lists.passages.reshape(20, 32)
        np.testing.assert_array_equal(np.sort(listed), np.sort(passages.reshape(20, 32)))
        assert trainer.distillation.journal.result(f"{iteration}/score", Scored).dropped_queries == 4


def test_a_live_teacher_has_16_candidates(toy_collection, tmp_path):
    trainer = toy_trainer(tmp_path / "out", tmp_path / "s", toy_collection, **{**SMALL, "num_candidates": None})
    assert trainer.distillation.settled.num_candidates == 16
    trainer.distillation.folder.prepare()
    trainer.distillation.journal.open()  # as in runs from before it could be open
    assert json.loads(trainer.distillation.folder.journal.read_text())["configuration"]["num_candidates"] == 16
