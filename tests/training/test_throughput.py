from __future__ import annotations

import numpy as np
import pytest

from st_mta.scorers import BM25, BiEncoderScorer, FusedScorer, PairScorer, StoredScores
from st_mta.scorers import base as pair_scoring
from st_mta.stores import Store
from st_mta.training import throughput
from st_mta.training.throughput import queries_per_second
from st_mta.types import Scorer
from tests.tiny import tiny_sentence_transformer


class Clock:
    """Time that only moves when a system works."""

    now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(throughput, "SECONDS_PER_ROUND", 0.5)
    monkeypatch.setattr(throughput, "time", clock)
    monkeypatch.setattr(pair_scoring, "time", clock)
    return clock


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


class Searcher(Scorer):
    """Takes so many seconds per query, turn after turn."""

    kind, fingerprint, can_retrieve = "own", "own", True

    def __init__(self, name, paces, clock, said):
        self.name, self.paces, self.clock, self.said = name, paces, clock, said

    def score(self, *_):
        raise AssertionError("asked for pairs")

    def answer(self, queries, corpus, depth):
        def answer(batch):
            if self.said[-1:] != [self.name]:
                self.said.append(self.name)
            turn = max(0, self.said.count(self.name) - 2)  # the first answer warms up
            self.clock.now += len(batch) * self.paces[min(turn, throughput.ROUNDS - 1)]

        return answer


class Teacher(PairScorer):
    """A teacher that is paid by the pair: 0.01 seconds each."""

    kind, fingerprint = "paid", "paid"

    def __init__(self, name="teacher", clock=None, store=None):
        super().__init__(name, store)
        self.clock, self.asked = clock or Clock(), []

    def predict(self, queries, passages):
        self.asked += zip(queries, passages)
        self.clock.now += 0.01 * len(queries)
        return np.ones(len(queries), dtype=np.float32)


def test_systems_take_turns_and_the_best_round_counts(clock, toy_collection):
    said = []
    paces = {"fast": [0.001] * throughput.ROUNDS, "slow": [0.01, 0.008, *[0.02] * (throughput.ROUNDS - 2)]}
    scorers = [Searcher(name, pace, clock, said) for name, pace in paces.items()]
    rates = queries_per_second(scorers, toy_collection, 10)
    assert rates == {"fast": pytest.approx(1000), "slow": pytest.approx(125)}
    assert said == ["fast", "slow"] * (1 + throughput.ROUNDS)


def test_the_speed_of_a_re_ranker_is_what_the_run_took_and_costs_no_pair(clock, toy_collection, store):
    teacher = Teacher(clock=clock, store=store)
    pairs = np.arange(40), np.arange(40)
    teacher.score(toy_collection.queries, toy_collection.corpus, *pairs)
    teacher.score(toy_collection.queries, toy_collection.corpus, *pairs)  # from the store
    assert (teacher.pairs_computed, teacher.pairs_per_second) == (40, pytest.approx(100))
    before = len(teacher.asked)
    assert queries_per_second([teacher], toy_collection, 20) == {"teacher": pytest.approx(5)}
    assert len(teacher.asked) == before == 40
    assert queries_per_second([teacher], toy_collection, 1000)["teacher"] == pytest.approx(100 / 60)  # all passages


def test_reading_and_writing_the_store_does_not_count(clock, toy_collection, store, monkeypatch):
    append, lookup = store.scores.append, store.scores.lookup

    def slowly(work):
        def wait(*arguments):
            clock.now += 100
            return work(*arguments)

        return wait

    monkeypatch.setattr(store.scores, "append", slowly(append))
    monkeypatch.setattr(store.scores, "lookup", slowly(lookup))
    teacher = Teacher(clock=clock, store=store)
    teacher.score(toy_collection.queries, toy_collection.corpus, np.arange(10), np.arange(10))
    assert teacher.seconds_computing == pytest.approx(0.1)


def test_what_earlier_processes_took_stands_in_for_what_this_one_did_not(toy_collection):
    teacher = Teacher()
    assert queries_per_second([teacher], toy_collection, 20) == {"teacher": None}
    assert queries_per_second([teacher], toy_collection, 20, {"teacher": 40.0}) == {"teacher": pytest.approx(2)}
    assert teacher.asked == []


@pytest.mark.parametrize("scorer", [BM25(), Teacher()], ids=["searches", "re-ranks"])
def test_a_scorer_that_is_not_to_be_timed_is_not(scorer, toy_collection, monkeypatch):
    monkeypatch.setattr(scorer, "timed", False)
    monkeypatch.setattr(type(scorer), "answer", None)
    rates = queries_per_second([scorer], toy_collection, 10, {scorer.name: 40.0})
    assert rates == {scorer.name: None}


def test_a_fusion_takes_what_its_parts_take_together(clock, toy_collection):
    parts = [Teacher("one", clock), Teacher("other", clock)]
    fusion = FusedScorer(parts, [1, 1])
    assert fusion.pairs_per_second is None
    parts[0].score(toy_collection.queries, toy_collection.corpus, np.arange(5), np.arange(5))
    assert fusion.pairs_per_second is None
    fusion.score(toy_collection.queries, toy_collection.corpus, np.arange(5), np.arange(5))
    assert queries_per_second([fusion], toy_collection, 10)["fusion"] == pytest.approx(5)
    parts[0].timed = False
    assert not FusedScorer(parts, [1, 1]).timed


def test_looking_up_the_scores_of_a_file_is_no_speed(toy_collection, tmp_path):
    (tmp_path / "teacher.trec").write_text("q0 Q0 p0 1 2.0 x\n")
    assert queries_per_second([StoredScores(tmp_path / "teacher.trec", "file")], toy_collection, 10) == {"file": None}


def test_bm25_and_a_bi_encoder_answer(toy_collection):
    scorers = [BM25(), BiEncoderScorer(tiny_sentence_transformer(), name="A")]
    rates = queries_per_second(scorers, toy_collection, 10)
    assert rates["bm25"] > 0 and rates["A"] > 0
