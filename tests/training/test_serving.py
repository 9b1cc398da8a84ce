from __future__ import annotations

import pytest

from st_mta.evaluation import evaluate_scorer
from st_mta.scorers import BM25, BiEncoderScorer
from st_mta.training.serving import measure_serving, sharing_space
from tests.tiny import tiny_sentence_transformer


@pytest.fixture(scope="module")
def student():
    return BiEncoderScorer(tiny_sentence_transformer(1), name="student")


def test_every_form_is_measured_the_students_own_first(student, toy_collection):
    entries = measure_serving(student, [], toy_collection, "test", depth=20)
    assert [(entry["dimension"], entry["precision"], entry["bytes_per_passage"]) for entry in entries] == [
        (32, "float32", 128), (16, "float32", 64), (8, "float32", 32), (32, "int8", 32), (32, "binary", 4)
    ]  # fmt: skip
    measures = evaluate_scorer(student, toy_collection, "test", depth=20)[1]
    assert entries[0]["ndcg@10"] == measures["ndcg@10"]
    assert entries[4]["ndcg@10"] != entries[0]["ndcg@10"]


def test_passages_of_a_model_that_shares_the_space(student, toy_collection):
    twin = BiEncoderScorer(tiny_sentence_transformer(1), name="twin")
    stranger = BiEncoderScorer(tiny_sentence_transformer(5), name="stranger")
    wider = BiEncoderScorer(tiny_sentence_transformer(1, dim=64), name="wider")
    others = [stranger, BM25(), twin, wider]
    assert [other.name for other in sharing_space(student, others, toy_collection)] == ["twin"]
    entries = measure_serving(student, others, toy_collection, "test", depth=20)
    assert [entry["name"] for entry in entries[5:]] == ["passages by twin, float32", "passages by twin, int8"]
    assert entries[5]["ndcg@10"] == entries[0]["ndcg@10"] and entries[5]["passages"] == "twin"
