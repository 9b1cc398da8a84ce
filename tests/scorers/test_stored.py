from __future__ import annotations

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from st_mta import lines
from st_mta.errors import InputError
from st_mta.scorers import StoredScores
from st_mta.trec import read_run
from st_mta.types import Texts

QUERIES = Texts(["q1", "q2", "q3"], ["a", "b", "c"])
CORPUS = Texts([f"d{i}" for i in range(5)], list("vwxyz"))
ROWS = [
    ("q1", "d3", 2.5),
    ("q1", "d0", -1e-3),
    ("q2", "d4", 7.0),
    ("q1", "d2", 2.5),
    ("q9", "d0", 1.0),
    ("q2", "d9", 3.0),
]


def write_trec(path, rows=ROWS, separator=" "):
    lines = [separator.join((query, "Q0", passage, "1", repr(score), "tag")) for query, passage, score in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_parquet(path, rows=ROWS):
    columns = dict(zip(("query_id", "passage_id", "score"), map(list, zip(*rows))))
    pq.write_table(pa.table({**columns, "rank": [0] * len(rows)}), path)
    return path


def write_json(path, rows=ROWS):
    run = {}
    for query, passage, score in rows:
        run.setdefault(query, {})[passage] = score
    path.write_text(json.dumps(run))
    return path


@pytest.fixture(
    params=["a.trec", "a.run", "a.txt", "a.parquet", "A.TREC", "A.JSON", "a.res.gz", "a.Run.GZ", "a.json.gz"]
)
def path(request, tmp_path):
    name = request.param.lower()
    path = tmp_path / request.param
    (write_parquet if name.endswith("parquet") else write_json if ".json" in name else write_trec)(path)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    return path


def test_known_pairs_have_their_score_and_others_are_missing(path):
    scores = StoredScores(path).score(QUERIES, CORPUS, np.array([0, 0, 0, 1, 2, 1]), np.array([3, 0, 1, 4, 4, 3]))
    np.testing.assert_array_equal(scores, np.array([2.5, -1e-3, np.nan, 7, np.nan, np.nan], dtype=np.float32))
    assert scores.dtype == np.float32


def test_the_ranking_is_by_score_and_ties_go_to_the_lower_position(path):
    found = StoredScores(path).retrieve(QUERIES, CORPUS, np.array([1, 0, 2, 0]), 3)
    assert found.passages.tolist() == [[4, -1, -1], [2, 3, 0], [-1, -1, -1], [2, 3, 0]]
    assert found.scores[1].tolist() == [2.5, 2.5, np.float32(-1e-3)]
    assert np.isneginf(found.scores[found.passages < 0]).all()
    assert StoredScores(path).retrieve(QUERIES, CORPUS, np.array([0]), 1).passages.tolist() == [[2]]


def test_blocks_do_not_matter(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    codes = random.permutation(15)[:12]
    rows = [(f"q{code // 5 + 1}", f"d{code % 5}", float(random.normal())) for code in codes]
    path = write_trec(tmp_path / "a.trec", rows)
    expected = {(query, passage): score for query, passage, score in rows}
    monkeypatch.setattr(lines, "BLOCK_BYTES", 80)
    scores = StoredScores(path).score(QUERIES, CORPUS, np.repeat(np.arange(3), 5), np.tile(np.arange(5), 3))
    wanted = [expected.get((f"q{q + 1}", f"d{d}"), np.nan) for q in range(3) for d in range(5)]
    np.testing.assert_array_equal(scores, np.asarray(wanted, dtype=np.float32))


def test_columns_may_be_separated_by_tabs_or_several_spaces_and_scores_be_written_in_any_way(tmp_path):
    path = tmp_path / "a.trec"
    path.write_text('q1\tQ0\td0\t1\t+1.5e1\ttag\r\n  q2  Q0   d1 2 .5 "tag\n\n'.replace("\n\n", "\n"))
    scores = StoredScores(path).score(QUERIES, CORPUS, np.array([0, 1]), np.array([0, 1]))
    assert scores.tolist() == [15.0, 0.5]


def test_quotes_are_part_of_an_id(tmp_path):
    path = tmp_path / "a.trec"
    path.write_text('"q1 Q0 d1" 1 2.0 tag\n"q1 Q0 d2 2 1.0 "tag"\n')
    queries, corpus = Texts(['"q1'], ["a"]), Texts(['d1"', "d2"], ["x", "y"])
    assert StoredScores(path).score(queries, corpus, np.array([0, 0]), np.array([0, 1])).tolist() == [2.0, 1.0]


BAD_LINES = [
    ("q1 Q0 d1 2 1.0", "rank score tag in columns"),
    ("q1 d1 2", "rank score tag in columns"),
    ("q1 Q0 my d1 2 1.0 tag", "rank score tag in columns"),  # a blank in an id, not in the tag
    ("q1 Q0 d 1 2 1.0 tag", "rank score tag in columns"),
    ("q1 Q0 d1 2 nan tag", "fits single precision"),
    ("q1 Q0 d1 2 -inf tag", "fits single precision"),
    ("q1 Q0 d1 2 1e39 tag", "fits single precision"),
    ("q1 Q0 d1 2 high tag", "fits single precision"),
    ("q1 Q0 d1 2 1_0 tag", "fits single precision"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
@pytest.mark.parametrize("block_bytes", [24, 2**20])
def test_malformed_lines_are_refused_with_file_and_line(tmp_path, monkeypatch, line, message, block_bytes):
    monkeypatch.setattr(lines, "BLOCK_BYTES", block_bytes)
    path = tmp_path / "bad.trec"
    path.write_text("\nq2 Q0 d0 1 2.0 tag\n" + line + "\n" + "q3 Q0 d0 1 2.0 tag\n")
    with pytest.raises(InputError, match=f"(?s){message}.*bad.trec:3") as error:
        StoredScores(path).score(QUERIES, CORPUS, np.array([0]), np.array([0]))
    assert repr(line) in str(error.value)


@pytest.mark.parametrize("score", [None, float("nan"), float("inf")])
def test_bad_rows_of_a_parquet_file_are_refused_with_their_row(tmp_path, score):
    path = write_parquet(tmp_path / "bad.parquet", [("q1", "d0", 1.0), ("q1", "d1", score)])
    with pytest.raises(InputError, match="bad.parquet:2"):
        StoredScores(path).score(QUERIES, CORPUS, np.array([0]), np.array([0]))


def test_repeated_pairs_are_refused_with_both_lines(tmp_path):
    path = write_trec(tmp_path / "a.trec", [*ROWS, ("q1", "d0", 5.0)])
    with pytest.raises(InputError, match="passage 'd0' for query 'q1', which line 2 has too, at .*a.trec:7"):
        StoredScores(path).score(QUERIES, CORPUS, np.array([0]), np.array([0]))


@pytest.mark.parametrize("rows", [[("x", "d0", 1.0)], [("q1", "x", 1.0)]])
def test_a_file_of_another_collection_is_refused(tmp_path, rows):
    with pytest.raises(InputError, match="no row"):
        StoredScores(write_trec(tmp_path / "a.trec", rows)).score(QUERIES, CORPUS, np.array([0]), np.array([0]))


def test_the_run_of_another_program_is_read_as_by_read_run(tmp_path):
    path = tmp_path / "run.tsv"
    path.write_text("q1\td3\t1\nq2\td4\t1\nq1\td0\t2\n")
    scores = StoredScores(path).score(QUERIES, CORPUS, np.array([0, 0, 1]), np.array([3, 0, 4]))
    assert (
        scores.tolist()
        == [-1, -2, -1]
        == [read_run(path)[q][d] for q, d in (("q1", "d3"), ("q1", "d0"), ("q2", "d4"))]
    )


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.trec").write_text("")
    with pytest.raises(InputError, match="no row"):
        StoredScores(tmp_path / "a.trec").score(QUERIES, CORPUS, np.array([0]), np.array([0]))


def test_files_that_are_missing_or_of_another_kind_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        StoredScores(tmp_path / "missing.trec")
    (tmp_path / "scores.csv").write_text("q1,d1,1.0")
    with pytest.raises(InputError, match=r"scores.csv:1"):
        StoredScores(tmp_path / "scores.csv").score(QUERIES, CORPUS, np.array([0]), np.array([0]))
    (tmp_path / "a.parquet").write_text("no parquet")
    with pytest.raises(InputError, match="a.parquet"):
        StoredScores(tmp_path / "a.parquet").score(QUERIES, CORPUS, np.array([0]), np.array([0]))
    pq.write_table(pa.table({"query": ["q1"], "score": [1.0]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match="passage_id"):
        StoredScores(tmp_path / "b.parquet").score(QUERIES, CORPUS, np.array([0]), np.array([0]))


def test_the_fingerprint_is_that_of_the_content(tmp_path):
    first = StoredScores(write_trec(tmp_path / "a.trec")).fingerprint
    assert StoredScores(write_trec(tmp_path / "b.trec")).fingerprint == first
    assert StoredScores(write_trec(tmp_path / "c.trec", ROWS[:3])).fingerprint != first


def test_the_file_is_read_once_per_collection(tmp_path):
    path = write_trec(tmp_path / "a.trec")
    scorer = StoredScores(path)
    first = scorer.score(QUERIES, CORPUS, np.array([0]), np.array([3]))
    path.unlink()
    assert scorer.score(QUERIES, CORPUS, np.array([0]), np.array([3])) == first


def test_passages_that_the_corpus_does_not_have_keep_their_rank(tmp_path, caplog):
    rows = [("q1", "x9", 5.0), ("q1", "d3", 4.0), ("q1", "x1", 4.5), ("q2", "d0", 1.0), ("q7", "x1", 9.0)]
    scorer = StoredScores(write_trec(tmp_path / "a.trec", rows))
    everyone = np.arange(3)
    assert scorer.ranking(QUERIES, CORPUS, everyone, 5) == {"q1": {"x9": 5.0, "x1": 4.5, "d3": 4.0}, "q2": {"d0": 1.0}}
    assert list(scorer.ranking(QUERIES, CORPUS, everyone, 2)["q1"]) == ["x9", "x1"]
    assert scorer.ranking(QUERIES, CORPUS, np.array([1]), 2) == {"q2": {"d0": 1.0}}
    assert scorer.retrieve(QUERIES, CORPUS, everyone, 2).passages.tolist() == [[3, -1], [0, -1], [-1, -1]]
    (record,) = caplog.records
    assert "2 of 4 rows" in record.message and "the first of 'x9' at " in record.message
    assert record.message.partition("a.trec:1.")[1]


def test_equal_scores_are_cut_as_trec_eval_ranks_them(tmp_path):
    """In single precision, the higher id first, compared byte by byte."""
    rows = [("q1", passage, 1.0) for passage in ("d2", "x", "d4", "\u00e9", "d1")]
    rows += [("q1", "d0", 1 + 1e-9), ("q1", "d3", 1.1)]
    scorer = StoredScores(write_trec(tmp_path / "a.trec", rows))
    best = [list(scorer.ranking(QUERIES, CORPUS, np.array([0]), k)["q1"]) for k in (1, 3, 9)]
    assert best == [["d3"], ["d3", "\u00e9", "x"], ["d3", "\u00e9", "x", "d4", "d2", "d1", "d0"]]


def test_an_unknown_passage_that_stands_twice_is_refused(tmp_path):
    path = write_trec(tmp_path / "a.trec", [*ROWS, ("q2", "d9", 5.0)])
    with pytest.raises(InputError, match="passage 'd9' for query 'q2', which line 6 has too, at .*a.trec:7"):
        StoredScores(path).ranking(QUERIES, CORPUS, np.array([0]), 5)


def test_rankings_in_blocks_are_the_same(tmp_path, monkeypatch):
    random = np.random.default_rng(1)
    ids = [f"d{n}" for n in range(9)]
    rows = [(f"q{q}", ids[p], float(random.integers(3))) for q in (3, 1, 2) for p in random.permutation(9)]
    path = write_trec(tmp_path / "a.trec", rows)
    expected = StoredScores(path).ranking(QUERIES, CORPUS, np.array([2, 0, 1]), 4)
    assert list(expected) == ["q3", "q1", "q2"]
    monkeypatch.setattr(lines, "BLOCK_BYTES", 60)
    assert StoredScores(path).ranking(QUERIES, CORPUS, np.array([2, 0, 1]), 4) == expected


def test_listed_passages_come_in_the_order_of_the_file_the_best_where_there_are_more(tmp_path):
    rows = [("q2", "d4", 1.0), ("q1", "d3", 0.5), ("q1", "d0", 3.0), ("q2", "d1", 2.0), ("q1", "d2", 2.5)]
    scorer = StoredScores(write_parquet(tmp_path / "a.parquet", rows))
    found = scorer.listed(QUERIES, CORPUS, np.array([1, 0, 2]), 4)
    assert found.passages.tolist() == [[4, 1, -1, -1], [3, 0, 2, -1], [-1] * 4]
    assert found.scores[:2, :3].tolist() == [[1.0, 2.0, -np.inf], [0.5, 3.0, 2.5]]
    assert scorer.listed(QUERIES, CORPUS, np.array([0]), 2).passages.tolist() == [[0, 2]]
