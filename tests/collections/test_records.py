"""Texts under the key names of other toolkits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from st_mta.collections.records import read_records
from st_mta.errors import InputError

PASSAGES = {
    "pandas": ([{"id": 1, "title": 1984, "text": "they dance"}], "1", "1984", "they dance"),
    "tevatron": ([{"docid": "a", "title": "Bees", "text": "they dance"}], "a", "Bees", "they dance"),
    "anserini": ([{"id": "a", "contents": "they dance"}], "a", None, "they dance"),
    "pyserini": ([{"id": "a", "title": "Bees", "contents": "they dance"}], "a", "Bees", "they dance"),
    "msmarco": ([{"pid": "a", "passage": "they dance", "spans": "(0,4)"}], "a", None, "they dance"),
    "msmarco v2.1": (
        [{"docid": "a", "title": "Bees", "segment": "they dance", "start_char": 0}],
        "a",
        "Bees",
        "they dance",
    ),
    "trec": ([{"DOCNO": "a", "TEXT": "they dance"}], "a", None, "they dance"),
    "other letters": ([{"Doc-ID": "a", "Title": "Bees", "Text": "they dance"}], "a", "Bees", "they dance"),
    "numbers": ([{"_id": 7, "title": 1.5, "text": 42}], "7", "1.5", "42"),
    "as written": (
        [{"_id": "a", "title": "x", "text": "x"}, {"_id": "b", "title": None, "text": 1e2}],
        "b",
        None,
        "100.0",
    ),
    "beside others": (
        [{"_id": "a", "id": "x", "docid": 3, "text": "they dance", "contents": "x"}],
        "a",
        None,
        "they dance",
    ),
}
QUERIES = {
    "tevatron": [{"query_id": "a", "query": "who dances", "positive_passages": []}],
    "msmarco": [{"qid": "a", "question": "who dances"}],
    "id": [{"id": "a", "text": "who dances"}],
    "beir": [{"_id": "a", "text": "who dances", "query": "?", "title": ["never read"]}],
}


def write(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize(("records", "id_", "title", "text"), PASSAGES.values(), ids=PASSAGES.keys())
def test_passages(tmp_path: Path, records: list[dict[str, object]], id_: str, title: str | None, text: str) -> None:
    table, note = read_records(write(tmp_path / "corpus.jsonl", records))
    assert table.to_pylist()[-1] == {"_id": id_, "title": title, "text": text}
    assert bool(note) == ("_id" not in records[0])


@pytest.mark.parametrize("records", QUERIES.values(), ids=QUERIES.keys())
def test_queries(tmp_path: Path, records: list[dict[str, object]]) -> None:
    table, note = read_records(write(tmp_path / "queries.jsonl", records), queries=True)
    assert table.to_pylist() == [{"_id": "a", "title": None, "text": "who dances"}]
    assert note == "" if "_id" in records[0] else "queries.jsonl: ids from " in note


def test_the_note_says_which_keys(tmp_path: Path) -> None:
    _, note = read_records(write(tmp_path / "corpus.jsonl", [{"docno": "a", "body": "x"}]))
    assert note == "corpus.jsonl: ids from 'docno', texts from 'body'."


def test_a_number_is_read_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text(
        '{"_id": "a", "title": 1.10, "text": "x"}\n{"_id": "b", "title": NaN, "text": "y"}'
    )
    assert read_records(tmp_path / "corpus.jsonl")[0]["title"].to_pylist() == ["1.10", None]


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([{"id": 1, "docid": "a", "text": "x"}], r"one key for \'_id\'.*\['id', 'docid'\] at .*corpus.jsonl:1"),
        ([{"_id": 1, "passage": "y", "contents": "x"}], r"the keys \['passage', 'contents'\] at .*corpus.jsonl:1"),
        ([{"key": "a", "text": "x"}], r"only the keys \['key', 'text'\] at .*corpus.jsonl:1.*call it '_id'"),
        ([{"_id": "a", "value": "x"}], r"only the keys \['_id', 'value'\] at .*corpus.jsonl:1"),
        (
            [{"id": "a", "text": "x"}, {"_id": "b", "text": "y"}],
            r"only the keys \['_id', 'text'\] at .*corpus.jsonl:2",
        ),
        (
            [{"_id": "a", "text": "x"}, {"_id": "b", "contents": "y"}],
            r"keys \['_id', 'contents'\] at .*corpus.jsonl:2",
        ),
        ([{"qid": "a", "query": "x"}], r"only the keys \['qid', 'query'\] at .*corpus.jsonl:1"),
    ],
)
def test_what_is_unclear_is_refused_with_its_line(
    tmp_path: Path, records: list[dict[str, object]], words: str
) -> None:
    with pytest.raises(InputError, match=words.replace("\\'", "'")):
        read_records(write(tmp_path / "corpus.jsonl", records))
