from __future__ import annotations

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.scorers import FunctionScorer
from st_mta.scorers.base import PairScorer, distinct_pairs
from st_mta.stores import Store
from st_mta.types import Texts


class LengthScorer(PairScorer):
    """The score of a pair is 100 x the query's length + the passage's; counts what it computes."""

    kind = "lengths"
    fingerprint = "lengths"

    def __init__(self, fail_at_call: int | None = None, value: float | None = None, **options) -> None:
        super().__init__("lengths", **options)
        self.calls: list[list[tuple[str, str]]] = []
        self.fail_at_call, self.value = fail_at_call, value

    def predict(self, queries, passages):
        self.calls.append(list(zip(queries, passages)))
        if len(self.calls) == self.fail_at_call:
            raise KeyboardInterrupt
        scores = np.array([100.0 * len(query) + len(passage) for query, passage in zip(queries, passages)])
        if self.value is not None and "poison" in passages:
            scores[passages.index("poison")] = self.value
        return scores

    @property
    def computed(self) -> list[tuple[str, str]]:
        return [pair for call in self.calls for pair in call]


QUERIES = Texts(["q0", "q1"], ["a", "bb"])
PASSAGES = Texts([f"p{i}" for i in range(6)], ["c", "dd", "eee", "dd", "poison", "ffff"])
ALL = (np.repeat([0, 1], 6), np.tile(np.arange(6), 2))
EXPECTED = [101, 102, 103, 102, 106, 104, 201, 202, 203, 202, 206, 204]


def test_each_distinct_pair_is_computed_once_in_parts(store):
    scorer = LengthScorer(store=store, part_size=4)
    assert scorer.score(QUERIES, PASSAGES, *ALL).tolist() == EXPECTED
    assert len(scorer.computed) == len(set(scorer.computed)) == 10  # "dd" stands twice in the corpus
    assert [len(call) for call in scorer.calls] == [4, 4, 2]
    assert len(store.scores.parts("lengths")) == 3
    assert (store.ledger.pairs_scored, store.ledger.pairs_reused) == (10, 0)


def test_only_missing_pairs_are_computed(store):
    LengthScorer(store=store).score(QUERIES, PASSAGES, ALL[0][:3], ALL[1][:3])
    scorer = LengthScorer(store=Store(store.folder))
    assert scorer.score(QUERIES, PASSAGES, *ALL).tolist() == EXPECTED
    assert len(scorer.computed) == 7
    assert (scorer.store.ledger.pairs_scored, scorer.store.ledger.pairs_reused) == (7, 4)


def test_the_same_texts_in_another_collection_are_the_same_pairs(store):
    LengthScorer(store=store).score(QUERIES, PASSAGES, *ALL)
    scorer = LengthScorer(store=store)
    other = Texts(["x", "y"], ["ffff", "new"])
    assert scorer.score(QUERIES, other, np.array([0, 0]), np.array([0, 1])).tolist() == [104, 103]
    assert scorer.computed == [("a", "new")]


def test_a_kill_loses_at_most_the_part_in_flight(store):
    with pytest.raises(KeyboardInterrupt):
        LengthScorer(store=store, part_size=3, fail_at_call=3).score(QUERIES, PASSAGES, *ALL)
    scorer = LengthScorer(store=store)
    assert scorer.score(QUERIES, PASSAGES, *ALL).tolist() == EXPECTED
    assert len(scorer.computed) == 10 - 6


def test_without_a_store_every_call_computes_distinct_pairs_only():
    scorer = LengthScorer()
    for _ in range(2):
        assert scorer.score(QUERIES, PASSAGES, *ALL).tolist() == EXPECTED
    assert len(scorer.computed) == 20


def test_a_truncated_part_is_scored_again(store):
    LengthScorer(store=store, part_size=5).score(QUERIES, PASSAGES, *ALL)
    part = store.scores.parts("lengths")[0]
    part.write_bytes(part.read_bytes()[:-9])
    scorer = LengthScorer(store=Store(store.folder))
    assert scorer.score(QUERIES, PASSAGES, *ALL).tolist() == EXPECTED
    assert len(scorer.computed) == 5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_score_is_refused_with_its_ids_and_parts_before_it_stay(store, value):
    scorer = LengthScorer(store=store, part_size=2, value=value)
    with pytest.raises(InputError, match="(?s)from lengths.*1 of 2.*query 'q0' and passage 'p4'"):
        scorer.score(QUERIES, PASSAGES, *ALL)
    assert len(store.scores.parts("lengths")) == 1


def test_a_wrong_number_of_scores_is_refused():
    scorer = LengthScorer()
    scorer.predict = lambda queries, passages: np.ones((len(queries), 2))  # type: ignore[method-assign]
    with pytest.raises(InputError, match=r"\(10, 2\)"):
        scorer.score(QUERIES, PASSAGES, *ALL)


def test_passages_together_changes_the_order_of_work_only(store):
    scorer = LengthScorer(store=store, part_size=2)
    scorer.passages_together = True
    assert scorer.score(QUERIES, PASSAGES, *ALL).tolist() == EXPECTED
    assert scorer.calls[0] == [("a", "c"), ("bb", "c")]


def test_distinct_pairs_equal_a_dictionary():
    random = np.random.default_rng(0)
    first, second = random.integers(0, 8, 300, np.uint64), random.integers(0, 8, 300, np.uint64)
    index, inverse = distinct_pairs(first, second)
    pairs = list(zip(first.tolist(), second.tolist()))
    assert [pairs[i] for i in index] == list(dict.fromkeys(pairs))
    assert [pairs[index[i]] for i in inverse] == pairs


@pytest.mark.parametrize("part_size", [-1, 0, "3", 2.5, True, float("nan")])
def test_parts_are_a_whole_number_of_pairs(part_size, store):
    with pytest.raises(InputError, match="part_size as a whole number, at least 1"):
        FunctionScorer(lambda queries, passages: [1.0] * len(queries), store=store, part_size=part_size)
    assert FunctionScorer(len_of_query, store=store, part_size=np.int64(3)).part_size == 3


def len_of_query(queries, passages):
    return [len(query) for query in queries]
