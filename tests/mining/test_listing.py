"""A teacher with given scores brings its own candidates, and nothing that it has not scored is one."""

from __future__ import annotations

import logging
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from st_mta.mining import SAMPLING_STRATEGIES, mine
from st_mta.scorers import StoredScores
from st_mta.types import Collection, Texts
from tests.mining.conftest import NUM_PASSAGES, FixedRankings

ROWS = {"q0": [7, 100, 3, 0, 150, 42], "q1": [9, 8], "q2": [101, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69]}
QUERIES = np.array([0, 1, 2, 3])


def lists(candidates):
    return [candidates.passages[start:end].tolist() for start, end in pairwise(candidates.offsets)]


@pytest.fixture
def teacher(tmp_path):
    """Scores in an order of its own: the file's is neither that of the scores nor that of the corpus."""
    rows = [(query, f"p{passage}", float((passage * 37) % 101)) for query, of in ROWS.items() for passage in of]
    pq.write_table(pa.table(dict(zip(("query_id", "passage_id", "score"), zip(*rows)))), tmp_path / "t.parquet")
    return StoredScores(tmp_path / "t.parquet", name="T")


@pytest.mark.parametrize("strategy", SAMPLING_STRATEGIES)
def test_all_rows_are_candidates_positives_first_the_others_as_in_the_file(collection, shuffled, teacher, strategy):
    retriever = shuffled("a", 0)
    options = {"num_candidates": 64, "sampling_strategy": strategy, "range_min": 3, "depth": 20}
    found = mine(collection, QUERIES, [retriever], collection.qrels["train"], listing=teacher, **options)
    # q0 has the positives p100 (grade 2) and p0; of q1's and q2's (p101, p1; p102, p2) none is scored.
    assert lists(found) == [[100, 0, 7, 3, 150, 42], [9, 8], ROWS["q2"], []]
    assert found.grades.tolist()[:3] == [2, 1, 0] and found.positive.sum() == 2
    assert found.sources == ("qrels", "T", "a") and set(found.source) == {0, 1}
    assert retriever.asked_for == 0  # there is nothing that a search could bring


def test_where_there_is_no_room_for_all_it_shares_the_places_with_retrievers(collection, teacher):
    retriever = FixedRankings("a", {query: range(NUM_PASSAGES) for query in range(4)})
    found = mine(collection, QUERIES, [retriever], collection.qrels["train"], listing=teacher, num_candidates=6)
    assert lists(found)[:2] == [[100, 0, 7, 3, 150, 42], [9, 8]]
    # The file's best are 60, 68, 65, 62; of what it knows the retriever finds 60, 61, 62, 63.
    assert lists(found)[2] == [60, 68, 61, 65, 62, 63]
    quotas = {"quotas": [1e6, 1.0], "num_candidates": 6}
    alone = mine(collection, QUERIES, [retriever], collection.qrels["train"], listing=teacher, **quotas)
    assert lists(alone)[2] == [60, 68, 65, 62, 67, 64]


def test_more_than_the_depth_are_listed_where_so_many_are_wanted(collection, shuffled, teacher):
    found = mine(collection, QUERIES, [shuffled("a", 0)], None, listing=teacher, num_candidates=20, depth=3)
    assert lists(found)[2] == ROWS["q2"]


def test_the_query_itself_and_copies_are_no_candidates(tmp_path):
    corpus = Texts(["a", "b", "c", "d"], ["how are you", "fine", "well", "fine"])
    collection = Collection("questions", corpus, Texts(["q"], ["how are you"]), {})
    rows = [f"q Q0 {passage} 1 {score} t\n" for passage, score in zip("dbac", "1234")]
    (tmp_path / "t.trec").write_text("".join(rows))
    found = mine(collection, np.array([0]), [], None, listing=StoredScores(tmp_path / "t.trec"))
    assert lists(found) == [[3, 2]]


def test_a_log_line_says_what_is_left_out(collection, shuffled, teacher, caplog):
    with caplog.at_level(logging.INFO, "st_mta"):
        mine(collection, QUERIES, [shuffled("a", 0)], None, listing=teacher, num_candidates=6)
    assert "T has no scores for 1 of 4 queries" in caplog.text
    assert "T has scored more than num_candidates=6 passages of 1 of 4 queries" in caplog.text


def test_a_scorer_of_any_pair_lists_nothing(collection, shuffled):
    live, retriever = shuffled("live", 1), shuffled("a", 0)
    usual = mine(collection, QUERIES, [retriever], collection.qrels["train"])
    found = mine(collection, QUERIES, [retriever], collection.qrels["train"], listing=live)
    assert lists(found) == lists(usual) and found.sources == usual.sources


def test_the_result_does_not_depend_on_blocks(collection, shuffled, teacher, monkeypatch):
    def mined():
        options = {"num_candidates": 5, "sampling_strategy": "stratified"}
        return lists(mine(collection, QUERIES, [shuffled("a", 0)], None, listing=teacher, **options))

    whole = mined()
    monkeypatch.setattr("st_mta.mining.candidates.QUERIES_AT_ONCE", 2)
    assert mined() == whole
