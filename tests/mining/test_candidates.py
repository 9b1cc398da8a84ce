from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.mining import SAMPLING_STRATEGIES, in_corpus_order, mine
from st_mta.types import Candidates, Collection, Texts
from tests.mining.conftest import NUM_PASSAGES, NUM_QUERIES, FixedRankings

EVERYTHING = np.arange(NUM_QUERIES)


def lists(candidates: Candidates) -> list[list[int]]:
    return [candidates.passages[start:end].tolist() for start, end in pairwise(candidates.offsets)]


def union_by_hand(rankings, positives, num_candidates, depth, range_min, quotas):
    """The documented rule for one query as plain loops ("top" sampling)."""
    chosen = positives[: num_candidates - 1]
    offers = []
    for number, (ranking, quota) in enumerate(zip(rankings, quotas)):
        negatives = [passage for passage in ranking if passage not in positives][range_min:depth]
        for order, passage in enumerate(negatives[: num_candidates - len(chosen)]):
            offers.append(((order + 0.5) / quota, number, passage))
    for _, _, passage in sorted(offers):
        if passage not in chosen and len(chosen) < num_candidates:
            chosen = [*chosen, passage]
    return chosen


@pytest.mark.parametrize("quotas", [(1, 1, 1), (3, 1, 2), (0.1, 5, 0.1)])
@pytest.mark.parametrize(("range_min", "depth", "num_candidates"), [(0, 100, 16), (5, 30, 8), (0, 4, 16), (0, 50, 2)])
def test_the_union_follows_the_documented_rule(collection, shuffled, quotas, range_min, depth, num_candidates):
    retrievers = [shuffled(name, seed) for seed, name in enumerate("abc")]
    candidates = mine(
        collection,
        EVERYTHING,
        retrievers,
        collection.qrels["train"],
        num_candidates=num_candidates,
        depth=depth,
        range_min=range_min,
        quotas=quotas,
    )
    expected = [
        union_by_hand(
            [list(retriever.rankings[query]) for retriever in retrievers],
            [query + 100, query],
            num_candidates,
            depth,
            range_min,
            quotas,
        )
        for query in range(NUM_QUERIES)
    ]
    assert lists(candidates) == expected


@pytest.mark.parametrize("strategy", SAMPLING_STRATEGIES)
def test_positives_come_first_and_are_never_negatives(collection, shuffled, strategy):
    qrels = collection.qrels["train"]
    retrievers = [shuffled("a", 0), shuffled("b", 1)]
    candidates = mine(
        collection, EVERYTHING, retrievers, qrels, num_candidates=5, depth=NUM_PASSAGES, sampling_strategy=strategy
    )
    for query, row in enumerate(lists(candidates)):
        assert row[:2] == [query + 100, query]  # the better grade first
        assert len(set(row)) == len(row) == 5
    np.testing.assert_array_equal(candidates.positive, np.tile([True, True, False, False, False], NUM_QUERIES))
    np.testing.assert_array_equal(candidates.positive, candidates.source == 0)


def test_positives_that_find_no_place_are_not_negatives_either(collection, shuffled):
    candidates = mine(collection, EVERYTHING, [shuffled("a", 0)], collection.qrels["train"], num_candidates=2)
    assert [row[0] for row in lists(candidates)] == [query + 100 for query in range(NUM_QUERIES)]
    assert all(row[1] != query for query, row in enumerate(lists(candidates)))


def test_equal_grades_keep_the_order_of_the_qrels(collection, shuffled):
    qrels = {"q0": {"p9": 1, "p3": 1, "p5": 2}}
    candidates = mine(collection, np.array([0]), [shuffled("a", 0)], qrels)
    assert lists(candidates)[0][:3] == [5, 9, 3]


def test_lists_know_the_grades_of_their_positives(collection, shuffled):
    qrels = {"q0": {"p9": 1, "p3": 3, "p5": 2, "p7": 0}, "q2": {"p4": 2}}
    candidates = mine(collection, np.array([0, 1, 2]), [shuffled("a", 0)], qrels, num_candidates=5)
    rows = [candidates.grades[start:end].tolist() for start, end in pairwise(candidates.offsets)]
    assert rows == [[3, 2, 1, 0, 0], [0] * 5, [2, 0, 0, 0, 0]]
    kept = candidates.keep(candidates.passages != 3).select(np.array([2, 0]))
    assert kept.grades.tolist() == [2, 0, 0, 0, 0, 2, 1, 0, 0]


def test_judged_but_not_relevant_passages_may_be_candidates(collection):
    retriever = FixedRankings("a", {0: [101, 7]})
    assert lists(mine(collection, np.array([0]), [retriever], collection.qrels["train"])) == [[100, 0, 101, 7]]


def test_sources_name_who_brought_each_passage(collection):
    retrievers = [FixedRankings("a", {0: [50, 51]}), FixedRankings("b", {0: [51, 52]})]
    candidates = mine(collection, np.array([0]), retrievers, collection.qrels["train"])
    assert candidates.sources == ("qrels", "a", "b")
    names = [candidates.sources[source] for source in candidates.source]
    # b offers 51 first (0.5 against 1.5 of a), so it is b's.
    assert list(zip(lists(candidates)[0], names)) == [(100, "qrels"), (0, "qrels"), (50, "a"), (51, "b"), (52, "b")]


def test_quotas_are_shares(collection):
    retrievers = [FixedRankings("a", {0: range(100)}), FixedRankings("b", {0: range(199, 99, -1)})]
    candidates = mine(collection, np.array([0]), retrievers, None, num_candidates=16, quotas=[3, 1])
    assert np.bincount(candidates.source).tolist() == [0, 12, 4]


def test_short_rankings_give_short_lists(collection):
    retriever = FixedRankings("a", {0: [4, 5], 2: []})
    candidates = mine(collection, np.array([0, 1, 2, 2]), [retriever], None)
    assert lists(candidates) == [[4, 5], [], [], []]
    assert candidates.queries.tolist() == [0, 1, 2, 2]


def test_a_query_given_twice_gets_two_rows(collection, shuffled):
    candidates = mine(collection, np.array([3, 3]), [shuffled("a", 0)], collection.qrels["train"])
    first, second = lists(candidates)
    assert first == second


def test_the_search_goes_deep_enough_to_replace_positives(collection):
    retriever = FixedRankings("a", {0: [100, 0, 7, 8, 9, 10]})
    candidates = mine(collection, np.array([0]), [retriever], collection.qrels["train"], depth=3)
    assert retriever.asked_for == 5
    assert lists(candidates) == [[100, 0, 7, 8, 9]]


def test_a_passage_that_is_the_query_itself_is_no_candidate():
    collection = Collection(
        "questions", Texts(["a", "b"], ["how are you", "how old"]), Texts(["q"], ["how are you"]), {}
    )
    candidates = mine(collection, np.array([0]), [FixedRankings("a", {0: [0, 1]})], None)
    assert lists(candidates) == [[1]]


@pytest.mark.parametrize("strategy", SAMPLING_STRATEGIES)
def test_the_result_depends_on_the_seed_and_not_on_blocks(collection, shuffled, strategy, monkeypatch):
    def mined(seed: int) -> list[list[int]]:
        retrievers = [shuffled("a", 0), shuffled("b", 1)]
        return lists(
            mine(collection, EVERYTHING, retrievers, collection.qrels["train"], sampling_strategy=strategy, seed=seed)
        )

    whole = mined(7)
    assert (mined(8) == whole) == (strategy == "top")
    monkeypatch.setattr("st_mta.mining.candidates.QUERIES_AT_ONCE", 7)
    assert mined(7) == whole


def test_random_picks_stay_within_the_range_of_ranks(collection):
    retriever = FixedRankings("a", {query: range(60, 200) for query in range(NUM_QUERIES)})
    candidates = mine(
        collection,
        EVERYTHING,
        [retriever],
        None,
        range_min=10,
        depth=40,
        sampling_strategy="random",
        num_candidates=20,
    )
    ranks = candidates.passages - 60
    assert ranks.min() >= 10 and ranks.max() < 40
    assert len(np.unique(ranks)) == 30


def test_retrievers_draw_independently(collection):
    retrievers = [FixedRankings("a", {0: range(100)}), FixedRankings("b", {0: range(100, 200)})]
    candidates = mine(collection, np.array([0]), retrievers, None, sampling_strategy="random")
    ranks = candidates.passages % 100
    assert set(ranks[candidates.source == 1]) != set(ranks[candidates.source == 2])


def test_no_queries_give_no_candidates(collection, shuffled):
    assert len(mine(collection, EVERYTHING[:0], [shuffled("a", 0)], collection.qrels["train"])) == 0


BAD = [
    ({"num_candidates": 1}, "num_candidates=1"),
    ({"depth": 0}, "depth=0"),
    ({"range_min": 100}, "range_min=100"),
    ({"range_min": -1}, "range_min=-1"),
    ({"sampling_strategy": "best"}, "'best'"),
    ({"quotas": [1.0, 1.0]}, r"\[1.0, 1.0\]"),
    ({"quotas": [0.0]}, r"\[0.0\]"),
    ({"quotas": [float("nan")]}, "nan"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_options_are_refused(collection, shuffled, options, message):
    with pytest.raises(InputError, match=message):
        mine(collection, EVERYTHING, [shuffled("a", 0)], None, **options)


def test_scorers_that_only_rerank_are_refused_by_name(collection, shuffled):
    reranker = shuffled("teacher", 0)
    reranker.can_retrieve = False
    with pytest.raises(InputError, match="teacher, which only re-ranks"):
        mine(collection, EVERYTHING, [shuffled("a", 0), reranker], None)
    with pytest.raises(InputError, match="got none"):
        mine(collection, EVERYTHING, [], None)


def test_in_corpus_order_lists_from_anywhere_are_the_same():
    queries, offsets = np.array([3, 5]), np.array([0, 4, 6])
    passages, positive = np.array([9, 2, 7, 4, 1, 0]), np.array([True, False, False, True, False, False])
    one = Candidates(queries, offsets, passages, positive, np.array([0, 1, 2, 0, 1, 1]), ("qrels", "a", "b"))
    found = in_corpus_order(one)
    assert found.passages.tolist() == [9, 4, 2, 7, 0, 1]
    assert found.positive.tolist() == [True, True, False, False, False, False]
    assert found.source.tolist() == [0, 0, 1, 2, 1, 1] and found.grades.tolist() == [1, 1, 0, 0, 0, 0]
