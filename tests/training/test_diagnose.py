from __future__ import annotations

import numpy as np
import pytest

from st_mta.assistants.pool import AssistantPool
from st_mta.collections import with_dev_split, with_training_queries
from st_mta.scorers import BM25, BiEncoderScorer
from st_mta.training.diagnose import diagnose
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


@pytest.fixture(scope="module")
def teacher():
    return BiEncoderScorer(tiny_sentence_transformer(2), name="T")


def test_the_closest_come_first_and_the_teacher_agrees_with_itself(toy_collection, teacher):
    pool = AssistantPool(teacher, [Noisy(teacher, 3.0), Noisy(teacher, 0.1), Noisy(teacher, 1.0)])
    found = diagnose(toy_collection, "train", pool, [teacher], num_candidates=8, combinations="none")
    assert [member.name for member in found.members] == ["noise 0.1", "noise 1.0", "noise 3.0"]
    assert (found.teacher.kl, found.teacher.footrule, found.teacher.rbo, found.teacher.top1) == (0, 0, 1, 1)
    assert found.members[0].top1 > found.members[2].top1
    assert found.members[0].temperature == pytest.approx(found.teacher.temperature, rel=0.2)
    assert (found.queries, found.candidates) == (24, 8.0)


def test_fusions_are_there_without_a_temperature(toy_collection, teacher):
    pool = AssistantPool(teacher, [BiEncoderScorer(tiny_sentence_transformer(3), name="A"), BM25()])
    found = diagnose(toy_collection, "train", pool, pool.scorers, num_candidates=8, max_queries=10)
    fused = next(member for member in found.members if member.name == "A+bm25")
    assert fused.temperature is None and not fused.sigmoid
    assert found.queries == 10
    assert found.better_than_teacher == [
        member.name for member in found.members if member.name in ("A", "bm25") and member.ndcg > found.teacher.ndcg
    ]


def test_the_teacher_judges_where_nobody_has(toy_collection, teacher):
    bare = Collection("bare", toy_collection.corpus, toy_collection.queries, {}, unlabelled=np.arange(40))
    split = with_dev_split(with_training_queries(bare, 0, 4), 0, fraction=0.5)
    pool = AssistantPool(teacher, [BiEncoderScorer(tiny_sentence_transformer(3), name="A")])
    found = diagnose(split, "dev", pool, pool.scorers, num_candidates=16)
    assert found.teacher.ndcg > found.members[0].ndcg and found.teacher.ndcg == pytest.approx(1.0)
