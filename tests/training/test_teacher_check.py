"""A teacher that knows less than its assistants is no secret."""

from __future__ import annotations

import logging

from st_mta import MultiAssistantTrainer
from st_mta.scorers import BM25, BiEncoderScorer
from st_mta.stores import Store
from st_mta.training.teacher_check import warn_if_teacher_knows_less
from tests.tiny import tiny_sentence_transformer
from tests.training.toy_run import toy_arguments

QUALITY = {"T": 0.5, "A": 0.6, "B": 0.5, "C": 0.7, "student-before": 0.9}


def test_only_assistants_that_are_better_are_named(caplog):
    assert warn_if_teacher_knows_less("T", ["A", "B", "C"], QUALITY) == ["C", "A"]
    assert "nDCG@10 0.500, less than C (0.700), A (0.600)" in caplog.text


def test_a_better_teacher_is_nothing_to_say(caplog):
    assert warn_if_teacher_knows_less("C", ["A", "B"], QUALITY) == []
    assert not caplog.records


def test_a_run_says_so_before_it_trains(toy_collection, tmp_path, caplog):
    """The toy queries repeat words of their passages: BM25 knows all that a random model does not."""
    arguments = toy_arguments(tmp_path / "out", num_iterations=1, regression_epochs=0.0)
    store = Store(tmp_path / "store")
    teacher = BiEncoderScorer(tiny_sentence_transformer(2), name="random", store=store)
    pool = {"teacher": teacher, "assistants": [BM25(store=store)]}
    trainer = MultiAssistantTrainer(
        tiny_sentence_transformer(1), arguments, collection=toy_collection, store=store, **pool
    )
    with caplog.at_level(logging.WARNING):
        trainer.train()
    assert "the teacher random has" in caplog.text and "less than bm25" in caplog.text
