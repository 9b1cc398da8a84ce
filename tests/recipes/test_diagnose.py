from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from st_mta.assistants.calibration import CALIBRATIONS
from st_mta.assistants.pool import AssistantPool
from st_mta.cli.diagnose import advice
from st_mta.collections import with_dev_split, with_training_queries
from st_mta.errors import InputError
from st_mta.recipes.diagnose import DiagnoseOptions, diagnose
from st_mta.scorers import BM25, BiEncoderScorer
from st_mta.types import Collection, Scorer
from tests.tiny import tiny_sentence_transformer


class Noisy(Scorer):
    """The teacher's scores with noise: the more, the further away."""

    kind = "stored"

    def __init__(self, teacher: Scorer, noise: float) -> None:
        self.teacher, self.noise, self.name = teacher, noise, f"noise {noise}"

    @property
    def fingerprint(self) -> str:
        return self.name

    def score(self, queries, corpus, query_positions, passage_positions):
        exact = self.teacher.score(queries, corpus, query_positions, passage_positions)
        drawn = np.random.default_rng(0).normal(size=len(exact)).astype(np.float32)
        return exact + self.noise * exact.std() * drawn


def compared(collection, pool, retrievers, **options):
    return diagnose(collection, pool, retrievers, DiagnoseOptions(**{"split": "train", "seed": 0, **options}))


@pytest.fixture(scope="module")
def teacher():
    return BiEncoderScorer(tiny_sentence_transformer(2), name="T")


def test_the_closest_come_first_and_the_teacher_agrees_with_itself(toy_collection, teacher):
    pool = AssistantPool(teacher, [Noisy(teacher, 3.0), Noisy(teacher, 0.1), Noisy(teacher, 1.0)])
    found = compared(toy_collection, pool, [teacher], num_candidates=8, combinations="none")
    assert [member.name for member in found.members] == ["noise 0.1", "noise 1.0", "noise 3.0"]
    assert (found.teacher.kl, found.teacher.footrule, found.teacher.rbo, found.teacher.top1) == (0, 0, 1, 1)
    assert found.members[0].top1 > found.members[2].top1
    assert found.members[0].temperature == pytest.approx(found.teacher.temperature, rel=0.2)
    assert (found.queries, found.candidates) == (24, 8.0)


def test_bounded_scores_are_not_taken_for_a_sigmoid(toy_collection, teacher, monkeypatch):
    monkeypatch.setattr("st_mta.recipes.diagnose.looks_like_sigmoid", lambda scores: True)
    pool = AssistantPool(teacher, [Noisy(teacher, 1.0), BM25()])
    found = compared(toy_collection, pool, [teacher], num_candidates=8, max_queries=5, combinations="none")
    assert {member.name: member.sigmoid for member in found.members} == {"noise 1.0": True, "bm25": False}
    assert not found.teacher.sigmoid


def test_fusions_are_there_without_a_temperature(toy_collection, teacher):
    pool = AssistantPool(teacher, [BiEncoderScorer(tiny_sentence_transformer(3), name="A"), BM25()])
    found = compared(toy_collection, pool, pool.scorers, num_candidates=8, max_queries=10)
    fused = next(member for member in found.members if member.name == "A+bm25")
    assert fused.temperature is None and not fused.sigmoid
    assert found.queries == 10
    assert found.better_than_teacher == [
        member.name for member in found.members if member.name in ("A", "bm25") and member.ndcg > found.teacher.ndcg
    ]


@pytest.fixture(scope="module")
def pool(teacher):
    return AssistantPool(teacher, [BiEncoderScorer(tiny_sentence_transformer(3), name="A"), BM25()])


def test_fitted_weights_are_those_of_the_judgements_and_make_the_fused_assistant(toy_collection, teacher):
    # BM25 finds the passages the queries were taken from, noise does not.
    pool = AssistantPool(teacher, [Noisy(teacher, 5.0), BM25()])
    options = {"num_candidates": 8, "fusion": "weighted"}
    found = compared(toy_collection, pool, pool.scorers[::2], **options)
    assert list(found.weights) == pool.assistant_names
    assert sum(found.weights.values()) == pytest.approx(1)
    assert found.weights["bm25"] > 0.8
    by_name = {member.name: member for member in found.members}
    simple = compared(toy_collection, pool, pool.scorers[::2], num_candidates=8)
    fused = next(member for member in simple.members if member.temperature is None)
    assert by_name[fused.name].ndcg > fused.ndcg
    assert (found.fusion, simple.fusion, simple.weights) == ("weighted", "mean", None)


def test_temperatures_are_those_of_the_calibration(toy_collection, teacher):
    pool = AssistantPool(teacher, [Noisy(teacher, 0.1), Noisy(teacher, 3.0)])
    options = {"num_candidates": 8, "combinations": "none"}
    found = {word: compared(toy_collection, pool, [teacher], calibration=word, **options) for word in CALIBRATIONS}
    near, far = ({word: found[word].members[place] for word in CALIBRATIONS} for place in (0, 1))
    # Noise spreads the raw scores, not the standardised ones; the line that fits the teacher is flatter still.
    assert far["temperature"].temperature > 5 * near["temperature"].temperature
    assert far["zscore"].temperature < 2 * near["zscore"].temperature
    assert far["affine"].temperature > 1.2 * far["temperature"].temperature
    assert far["affine"].kl < 0.8 * far["temperature"].kl
    assert {word: diagnosis.calibration for word, diagnosis in found.items()} == {word: word for word in CALIBRATIONS}


def test_a_users_own_fusion_is_called(toy_collection, teacher, pool):
    options = {"num_candidates": 8, "fusion": "tests.assistants.own_rules:first_assistant"}
    found = compared(toy_collection, pool, pool.scorers, **options)
    assert len({member.kl for member in found.members}) == 1
    with pytest.raises(InputError, match="the result of fusion"):
        compared(toy_collection, pool, pool.scorers, fusion="tests.assistants.own_rules:unchanged")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"fusion": "median"}, "fusion to be one of"),
        ({"fusion": "nowhere_at_all:rule"}, "cannot be imported"),
        ({"calibration": "minmax"}, "calibration to be one of"),
        ({"combinations": "triples"}, "combinations to be one of"),
    ],
)
def test_bad_options_are_refused_before_anything_is_scored(toy_collection, option, words):
    class Untouched(Scorer):
        name = fingerprint = "untouched"
        kind = "stored"

        def score(self, *_):
            raise AssertionError

    pool = AssistantPool(Untouched(), [])
    with pytest.raises(InputError, match=words):
        compared(toy_collection, pool, [BM25()], **option)


def test_what_was_found_is_printed_and_written(toy_collection, teacher, pool):
    found = compared(toy_collection, pool, pool.scorers, num_candidates=8, fusion="weighted")
    sentence = next(line for line in advice(found) if line.startswith("Weights fitted"))
    assert f"A {found.weights['A']:.2f}, bm25 {found.weights['bm25']:.2f}" in sentence
    written = json.loads(json.dumps(asdict(found)))
    assert (written["calibration"], written["fusion"], written["weights"]) == (
        "temperature",
        "weighted",
        found.weights,
    )


def test_the_teacher_judges_where_nobody_has(toy_collection, teacher):
    bare = Collection("bare", toy_collection.corpus, toy_collection.queries, {}, unlabelled=np.arange(40))
    split = with_dev_split(with_training_queries(bare, 0, 20), 0)
    pool = AssistantPool(teacher, [BiEncoderScorer(tiny_sentence_transformer(3), name="A")])
    found = diagnose(split, pool, pool.scorers, DiagnoseOptions(num_candidates=16))
    assert found.teacher.ndcg > found.members[0].ndcg and found.teacher.ndcg == pytest.approx(1.0)
