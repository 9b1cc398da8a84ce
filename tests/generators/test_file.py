"""Files of generated queries in the forms that are published."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from st_mta.errors import InputError
from st_mta.generators import FileGenerator, load_generator
from st_mta.types import Texts

CORPUS = Texts(["p1", "7", "p3"], ["one", "two", "three"])
ROWS = [("7", "what is two"), ("p1", "what is one"), ("gone", "what is gone"), ("7", "two of what")]


def lines(rows, **names):
    passage, query = names.get("passage", "_id"), names.get("query", "query")
    return "".join(json.dumps({passage: one, "title": "t", "text": "x", query: two}) + "\n" for one, two in rows)


def write(folder, form):
    """The rows in one of the forms; the path to name."""
    if form == "qgen":
        records = [{"_id": f"genQ{i}", "text": query} for i, (_, query) in enumerate(ROWS)]
        (folder / "qgen-queries.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        (folder / "qgen-qrels").mkdir()
        judged = "".join(f"genQ{i}\t{passage}\t1\n" for i, (passage, _) in enumerate(ROWS))
        (folder / "qgen-qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
        return folder / "qgen-queries.jsonl"
    path = folder / f"made.{form.partition(' ')[0]}"
    tabs = "".join(f"{passage}\t{query}\n" for passage, query in ROWS)
    if form == "parquet":
        pq.write_table(pa.table({"doc_id": [row[0] for row in ROWS], "question": [row[1] for row in ROWS]}), path)
    elif form == "jsonl.gz":
        path.write_bytes(gzip.compress(lines(ROWS).encode()))
    else:
        numbers = [(int(one) if one == "7" else one, two) for one, two in ROWS]
        texts = {
            "jsonl": lines(ROWS),
            "jsonl numbers": lines(numbers, passage="pid", query="question"),
            "tsv": tabs,
            "tsv header": "passage-id\tquery\n" + tabs,
        }
        path.write_text(texts[form])
    return path


@pytest.mark.parametrize("form", ["jsonl", "jsonl numbers", "jsonl.gz", "tsv", "tsv header", "parquet", "qgen"])
def test_forms(tmp_path, form):
    generator = load_generator(str(write(tmp_path, form)))
    assert isinstance(generator, FileGenerator)
    assert generator.available(CORPUS).tolist() == [0, 1]
    assert generator.queries(CORPUS, np.array([1, 0])) == [["what is two", "two of what"], ["what is one"]]
    assert generator.queries(CORPUS, np.array([2])) == [[]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("made.jsonl", '{"_id": "p1", "query": "a"}\n{"_id": "p1"}\n', "made.jsonl:2"),
        ("made.jsonl", '{"_id": "p1", "query": "a"}\n{"_id": [1], "query": "a"}\n', "made.jsonl:2"),
        ("made.jsonl", '{"_id": "p1", "query": "a"}\nnot json\n', "made.jsonl:2"),
        ("made.jsonl", '{"_id": "p1", "words": "a"}\n', "rename the two columns"),
        ("made.tsv", "p1\ta\np1 b\n", "made.tsv:2"),
        ("made.tsv", "other\ta\n", "unknown passage ids, the first is 'other'"),
        ("made.tsv", "", "got none"),
        ("made.parquet", "no", "made.parquet"),
    ],
)
def test_wrong_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        FileGenerator(tmp_path / name).available(CORPUS)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_generator(str(tmp_path / "not-there.tsv"))


@pytest.mark.parametrize(
    ("column", "rows"), [("pid", [("p1", "a"), (None, "b")]), ("query", [("p1", "a"), ("7", None)])]
)
def test_rows_with_a_gap_are_refused(tmp_path, column, rows):
    passages, queries = zip(*rows)
    pq.write_table(pa.table({"pid": passages, "query": queries}), tmp_path / "made.parquet")
    with pytest.raises(InputError, match=f"'{column}' in every row of .*1 rows without one, the first is row 2"):
        FileGenerator(tmp_path / "made.parquet")


def test_half_a_character_is_refused(tmp_path):
    path = tmp_path / "made.jsonl"
    path.write_text('{"_id": "p1", "query": "a"}\n{"_id": 7, "query": "half \\ud83d"}\n')
    with pytest.raises(InputError, match="made.jsonl:2"):
        FileGenerator(path)
