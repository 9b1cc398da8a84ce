"""``st-mta score``: whatever it writes, st_mta can read, and no name is ever taken for a command."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from st_mta.cli.main import main
from st_mta.trec import read_run
from tests.cli.test_main import data, refused  # noqa: F401

INJECTION = "x' FROM scored) TO '/dev/null'; COPY (SELECT 42 AS stolen) TO 'stolen.csv' (HEADER); --"


def published(folder, name):
    """A store with scores of the teacher for all pairs of ten queries and ten passages, under the given name."""
    (described,) = (folder / "scorers").glob("*/scorer.json")
    described.write_text(json.dumps({"name": name, "kind": "cross-encoder"}))


@pytest.fixture
def pairs(data, tmp_path):  # noqa: F811
    path = tmp_path / "pairs.trec"
    path.write_text("".join(f"q{q} Q0 p{p} {p} {1 / (p + 1)} x\n" for q in range(3) for p in range(5)))
    return path


def score(data, pairs, scorer, output, *more):  # noqa: F811
    command = ["score", "--collection", data / "data", "--scorer", scorer, "--pairs", pairs, "--output", output]
    return [str(part) for part in [*command, *more]]


def test_a_name_is_no_command(data, pairs, tmp_path, monkeypatch):  # noqa: F811
    from tests.tiny import saved, tiny_cross_encoder

    monkeypatch.chdir(tmp_path)
    teacher, store = saved(tiny_cross_encoder(5), tmp_path / "it's"), tmp_path / "store"
    assert main(score(data, pairs, teacher, tmp_path / "first.trec", "--store", store)) == 0
    published(store, INJECTION)
    assert main(score(data, pairs, f"stored:{store}", tmp_path / "second.trec")) == 0
    assert not (tmp_path / "stolen.csv").exists()
    assert read_run(tmp_path / "second.trec") == read_run(tmp_path / "first.trec")


def test_an_apostrophe_in_the_path(data, pairs, tmp_path):  # noqa: F811
    assert main(score(data, pairs, "bm25", tmp_path / "it's.trec")) == 0
    assert len(read_run(tmp_path / "it's.trec")) == 3


def test_unknown_pairs_are_left_out_and_no_pair_is_written_twice(data, pairs, tmp_path, capsys):  # noqa: F811
    known = tmp_path / "known.trec"
    known.write_text("".join(f"q{q} Q0 p{p} 1 {p}.5 x\n" for q in range(3) for p in range(2)))
    twice = tmp_path / "twice.parquet"
    assert main(score(data, pairs, "bm25", twice)) == 0
    table = pq.read_table(twice)
    pq.write_table(table.take([*range(table.num_rows), *range(table.num_rows)]), twice)
    for output in (tmp_path / "out.trec", tmp_path / "out.parquet"):
        capsys.readouterr()
        assert main(score(data, twice, known, output)) == 0
        assert "6 pairs of 30" in capsys.readouterr().out
        again = tmp_path / f"again{output.suffix}"
        assert main(score(data, pairs, output, again)) == 0, "st_mta reads what it wrote"
    run = read_run(tmp_path / "out.trec")
    assert {query: sorted(passages) for query, passages in run.items()} == {f"q{q}": ["p0", "p1"] for q in range(3)}


@pytest.mark.parametrize("name", ["scores.jsonl", "scores.csv", "scores.TREC", "scores"])
def test_a_suffix_promises_a_format(data, pairs, tmp_path, capsys, name):  # noqa: F811
    assert ".parquet or .trec" in refused(capsys, *score(data, pairs, "bm25", tmp_path / name))
    assert not (tmp_path / name).exists()


def test_mine_writes_parquet_only(data, tmp_path, capsys):  # noqa: F811
    command = ["mine", "--collection", data / "data", "--retrievers", "bm25", "--output", tmp_path / "m.csv"]
    assert ".parquet" in refused(capsys, *command)


def test_functions_of_lists_and_of_comparisons_score_and_a_re_ranker_mines(data, pairs, tmp_path, capsys):  # noqa: F811
    store, output = ("--store", tmp_path / "store"), tmp_path / "out.trec"
    by_place = "list:tests.scorers.test_listwise:by_place"
    assert main(score(data, pairs, f"{by_place}#ordered=true", output, *store)) == 0
    assert all(run == {f"p{place}": -place for place in range(5)} for run in read_run(output).values())
    longer = "pairwise:tests.scorers.test_preferences:longer#comparisons=2"
    assert main(score(data, pairs, longer, output, *store)) == 0
    assert "15 pairs" in (said := capsys.readouterr().out) and "15 scored, 0 reused" in said  # 5 comparisons a query
    words = "mine", "--collection", data / "data", "--output", tmp_path / "candidates.parquet", "--retrievers"
    searching = "anncur:tests.scorers.test_function:score#anchors=5,anchor_queries=3,rerank=false"
    assert main([str(word) for word in (*words, searching, *store)]) == 0
    assert set(pq.read_table(tmp_path / "candidates.parquet")["source"].to_pylist()) == {
        "qrels",
        searching.partition("#")[0],
    }
    assert "did you mean 'ordered'" in refused(capsys, *score(data, pairs, f"{by_place}#order=true", output))
