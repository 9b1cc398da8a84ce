"""A teacher that knows less than its assistants is no secret."""

from __future__ import annotations

import json
import logging

import pytest

from st_mta import MultiAssistantTrainer
from st_mta.scorers import BM25, BiEncoderScorer
from st_mta.stores import Store
from st_mta.training.stages.quality import warn_if_teacher_knows_less, weight_of_teacher
from tests.tiny import tiny_sentence_transformer
from tests.training.toy_run import toy_arguments

QUALITY = {"T": 0.5, "A": 0.6, "B": 0.5, "C": 0.7, "student-before": 0.9}


def test_only_assistants_that_are_better_are_named(caplog):
    assert warn_if_teacher_knows_less("T", ["A", "B", "C"], QUALITY) == ["C", "A"]
    assert "nDCG@10 0.500, less than C (0.700), A (0.600)" in caplog.text


def test_a_better_teacher_is_nothing_to_say(caplog):
    assert warn_if_teacher_knows_less("C", ["A", "B"], QUALITY) == []
    assert not caplog.records


@pytest.mark.parametrize(("teacher", "expected"), [("T", 0.5), ("C", 1.0), ("B", 0.5)])
def test_assistants_weigh_where_one_knows_more(teacher, expected):
    assert weight_of_teacher(teacher, [name for name in "TABC" if name != teacher], QUALITY) == expected


def test_alone_the_teacher_has_the_whole_weight():
    assert weight_of_teacher("T", [], QUALITY) == 1.0


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
    (scored,) = scored_stations(tmp_path / "out")
    assert scored["alpha"] == 0.5
    assert "the teacher random has" in caplog.text and "less than bm25" in caplog.text


@pytest.mark.parametrize(("named", "expected"), [(None, 1.0), (0.3, 0.3)])
def test_a_better_teacher_teaches_alone_unless_somebody_names_alpha(toy_collection, tmp_path, named, expected):
    out, store = tmp_path / "out", Store(tmp_path / "store")
    assistants = [BiEncoderScorer(tiny_sentence_transformer(3), name="A", store=store)]
    arguments = toy_arguments(out, num_iterations=1, regression_epochs=0.0, alpha=named)
    trainer = MultiAssistantTrainer(
        tiny_sentence_transformer(1),
        arguments,
        teacher=BM25(store=store),
        assistants=assistants,
        collection=toy_collection,
        store=store,
    )
    trainer.train()
    assert [scored["alpha"] for scored in scored_stations(out)] == [expected]


def scored_stations(out):
    stations = json.loads((out / "state.json").read_text())["stations"]
    return [entry["result"] for name, entry in stations.items() if name.endswith("/score")]
