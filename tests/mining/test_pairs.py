from __future__ import annotations

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from st_mta.collections import from_dictionaries
from st_mta.errors import InputError
from st_mta.mining.pairs import read_pairs, write_scores
from st_mta.trec import read_run
from st_mta.types import Candidates

FORMS = {
    "r.trec": b"q1 Q0 d2 1 2.0 t\n\nq%20 Q0 %%d%201 2 1.0 my tag\nq1 Q0 %%d%201 2 1.0 t\n",
    "r.tsv": b"q1\td2\t1\nq%20\t%%d%201\t1\nq1\t%%d%201\t2\n",
    "r.json": json.dumps({"q1": {"d2": 1.0, "d 1": 1}, "q%20": {"d 1": 2}}).encode(),
}


@pytest.fixture
def collection():
    return from_dictionaries("made", {"d 1": "one", "d2": "two"}, {"q1": "a", "q%20": "b"}, {})


@pytest.mark.parametrize("name", [*FORMS, *(f"{name}.gz" for name in FORMS), "R.PARQUET"])
def test_pairs_are_read_from_every_form(collection, tmp_path, name):
    if name == "R.PARQUET":
        ids = {"passage_id": ["d2", "d 1", "d 1"], "query_id": ["q1", "q%20", "q1"]}
        pq.write_table(pa.table(ids), tmp_path / name)
    else:
        content = FORMS[name.removesuffix(".gz")]
        (tmp_path / name).write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    queries, passages = read_pairs(tmp_path / name, collection)
    assert set(zip(queries.tolist(), passages.tolist())) == {(0, 1), (1, 0), (0, 0)}


def test_no_pairs(collection, tmp_path):
    pq.write_table(pa.table({"query_id": pa.array([], pa.string()), "passage_id": []}), tmp_path / "p.parquet")
    (tmp_path / "p.trec").write_text("")
    for name in ("p.parquet", "p.trec"):
        queries, passages = read_pairs(tmp_path / name, collection)
        assert len(queries) == len(passages) == 0


def test_other_files_are_refused(collection, tmp_path):
    pq.write_table(pa.table({"query_id": ["q1"]}), tmp_path / "p.parquet")
    for name in ("p.parquet", "missing.parquet", "missing.trec"):
        with pytest.raises(InputError, match=name):
            read_pairs(tmp_path / name, collection)


@pytest.mark.parametrize("name", ["s.trec", "s.parquet"])
def test_known_scores_are_written_once_and_can_be_read(collection, tmp_path, name):
    scores = np.array([1.5, np.nan, 1.5, -np.inf], dtype=np.float32)
    written = write_scores(
        tmp_path / name, collection, np.array([0, 0, 0, 1]), np.array([0, 1, 0, 1]), scores, tag="made"
    )
    assert written == 1
    assert read_run(tmp_path / name) == {"q1": {"d 1": 1.5}}


def test_files_are_written_and_read_in_blocks(collection, tmp_path, monkeypatch):
    from st_mta.mining import pairs

    lists = Candidates(
        queries=np.array([0, 1]),
        offsets=np.array([0, 2, 4]),
        passages=np.array([1, 0, 0, 1]),
        positive=np.array([True, False, True, False]),
        source=np.array([0, 1, 0, 1]),
        sources=("qrels", "bm25"),
    )
    queries, passages, scores = lists.pair_queries, lists.passages, np.arange(4, dtype=np.float32)
    for name, size in (("whole", 100), ("blocks", 3)):
        monkeypatch.setattr(pairs, "ROWS_AT_ONCE", size)
        pairs.write_pairs(tmp_path / f"{name}.parquet", collection, lists)
        write_scores(tmp_path / f"{name}-scores.parquet", collection, queries, passages, scores, tag="made")
    for suffix in (".parquet", "-scores.parquet"):
        whole, blocks = (pq.ParquetFile(tmp_path / f"{name}{suffix}") for name in ("whole", "blocks"))
        assert blocks.read().to_pylist() == whole.read().to_pylist() and blocks.schema_arrow == whole.schema_arrow
        assert (whole.num_row_groups, blocks.num_row_groups) == (1, 2)
    read, blocks_of = pairs.read_parquet, []

    def in_small_blocks(path, columns):
        for batch in read(path, columns):
            blocks_of.append(batch)
            yield from (batch.slice(start, 3) for start in range(0, len(batch), 3))

    monkeypatch.setattr(pairs, "read_parquet", in_small_blocks)
    found = read_pairs(tmp_path / "whole.parquet", collection)
    assert [column.tolist() for column in found] == [queries.tolist(), passages.tolist()]
    other = from_dictionaries("other", {"d 1": "one"}, {"q1": "a", "q%20": "b"}, {})
    with pytest.raises(InputError, match="2 unknown ones, the first is 'd2'"):
        read_pairs(tmp_path / "whole.parquet", other)
