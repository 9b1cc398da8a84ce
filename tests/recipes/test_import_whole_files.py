"""Nothing of a file of scores is lost in silence: neither lists, nor later columns, nor the end of a file."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from st_mta.errors import InputError
from st_mta.recipes.import_scores import import_scores

BOM = b"\xef\xbb\xbf"
PAIR = {"query": "q1", "passage": "p1", "score": 0.5}
TRIPLET = {"query": "q1", "positive": "p1", "negative_1": "n1"}
FLAG = {"query": "q1", "pos": ["p1"], "neg": ["n1"]}


def lines(path, *records):
    path.write_text("\n".join(map(json.dumps, records)))
    return path


def by_text(collection, folder):
    """Query and passage -> score, None where there are no scores."""
    name = "scores" if (folder / "scores.parquet").exists() else "pairs"
    rows = pq.read_table(folder / f"{name}.parquet").to_pylist()
    queries, corpus = (dict(zip(of, (of[key] for key in of))) for of in (collection.queries, collection.corpus))
    return {(queries[row["query_id"]], corpus[row["passage_id"]]): row.get("score") for row in rows}


def imported(path, tmp_path, **options):
    collection, _ = import_scores(path, tmp_path / "out", **options)
    return by_text(collection, tmp_path / "out")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_list_of_negatives_gives_each_of_them(ending, tmp_path):
    record = {"query": "q1", "positive": "p1", "negatives": ["n1", "n2"], "scores": [3.0, 2.0, 1.0]}
    path = tmp_path / f"a.{ending}"
    lines(path, record) if ending == "jsonl" else pq.write_table(pa.Table.from_pylist([record]), path)
    assert imported(path, tmp_path) == {("q1", "p1"): 3.0, ("q1", "n1"): 2.0, ("q1", "n2"): 1.0}
    assert len((tmp_path / "out" / "qrels" / "train.tsv").read_text().splitlines()) == 2  # head and positive


NO_TEXTS = [
    (TRIPLET, {**TRIPLET, "negative_1": ["n1", "n2"]}, "negative_1"),
    (PAIR, {**PAIR, "passage": {"text": "p"}}, "passage"),
    (PAIR, {**PAIR, "passage": True}, "passage"),
    (FLAG, {**FLAG, "pos": [["p1"]]}, "pos"),
    (
        {"query": "q", "passages": ["a"], "scores": [1]},
        {"query": "q", "passages": [{"text": "a"}], "scores": [1]},
        "p",
    ),
    (
        {"query": "q", "positive_passages": [{"docid": "1", "text": "a"}]},
        {"query": "q", "positive_passages": [{"docid": "1", "text": ["a"]}]},
        "positive_passages",
    ),
]


@pytest.mark.parametrize(
    ("good", "bad", "column"), NO_TEXTS, ids=[f"{n}-{case[2]}" for n, case in enumerate(NO_TEXTS)]
)
def test_what_is_no_text_is_refused_with_its_line(good, bad, column, tmp_path):
    with pytest.raises(InputError, match=f'under "{column}.* at .*a.jsonl:2'):
        import_scores(lines(tmp_path / "a.jsonl", good, bad), tmp_path / "out")


@pytest.mark.parametrize("value", [{"text": "p"}, [["p"]], b"p", True])
def test_columns_of_tables_that_are_no_texts_are_refused(value, tmp_path):
    pq.write_table(
        pa.Table.from_pylist([{**PAIR, "passage": None}, {**PAIR, "passage": value}]), tmp_path / "a.parquet"
    )
    with pytest.raises(InputError, match=r'under "passage"|columns query, passage'):
        import_scores(tmp_path / "a.parquet", tmp_path / "out")


def test_texts_that_look_like_json_are_texts(tmp_path):
    path = lines(tmp_path / "a.jsonl", {**PAIR, "passage": "[1] see {there}"}, {**PAIR, "passage": "true"})
    assert imported(path, tmp_path) == {("q1", "[1] see {there}"): 0.5, ("q1", "true"): 0.5}


def test_later_negatives_and_later_scores_are_read(tmp_path):
    second = {"query": "q2", "positive": "p2", "negative_2": "n3", "negative_1": "n2", "scores": [3.0, 2.0, 1.0]}
    path = lines(tmp_path / "a.jsonl", TRIPLET, second)
    assert imported(path, tmp_path) == {("q2", "p2"): 3.0, ("q2", "n2"): 2.0, ("q2", "n3"): 1.0}
    pairs = lines(tmp_path / "b.jsonl", {"query": "q1", "passage": "p1", "label": 1}, {**PAIR, "query": "q2"})
    collection, _ = import_scores(pairs, tmp_path / "other")
    assert by_text(collection, tmp_path / "other") == {("q2", "p1"): 0.5} and len(collection.queries) == 2


@pytest.mark.parametrize("column", ["Score", "scores", "negative_scores", "comment"])
def test_later_columns_that_cannot_be_read_are_refused_with_their_line(column, tmp_path):
    path = lines(tmp_path / "a.jsonl", PAIR, PAIR, {"query": "q2", "passage": "p2", column: 0.5})
    with pytest.raises(InputError, match=f'"{column}" at .*a.jsonl:3'):
        import_scores(path, tmp_path / "out")


def test_titles_that_come_later_are_read(tmp_path):
    corpus = lines(tmp_path / "c.jsonl", {"id": "1", "text": "a"}, {"id": "2", "text": "b", "title": "B"})
    queries = lines(tmp_path / "q.jsonl", {"id": "q", "text": "what"})
    path = lines(tmp_path / "a.jsonl", {"query_id": "q", "document_ids": ["1", "2"], "scores": [1, 2]})
    collection, _ = import_scores(path, tmp_path / "out", corpus=corpus, queries=queries)
    assert collection.corpus["2"] == "B b"


@pytest.mark.parametrize("kept", [12, 60, -12])
def test_gzip_that_is_cut_is_refused_with_its_path(kept, tmp_path):
    content = "\n".join(json.dumps({**PAIR, "passage": f"p{n * 7919 % 1009}"}) for n in range(5000)).encode()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content)[:kept])
    with pytest.raises(InputError, match=r"a readable file at .*/a\.jsonl\.gz"):
        import_scores(tmp_path / "a.jsonl.gz", tmp_path / "out")


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl"])
def test_whether_gzip_wrote_it_is_seen_from_the_content(name, tmp_path):
    content = json.dumps(PAIR).encode()
    (tmp_path / name).write_bytes(content if name.endswith("gz") else gzip.compress(content))
    assert imported(tmp_path / name, tmp_path) == {("q1", "p1"): 0.5}


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json"])
def test_a_byte_order_mark_is_no_part_of_the_records(name, tmp_path):
    content = BOM + json.dumps([PAIR] if name.endswith(".json") else PAIR).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert imported(tmp_path / name, tmp_path) == {("q1", "p1"): 0.5}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ('{"query": "q", "query": "r", "pos": ["p"]}', "each key once.*query.*a.jsonl:2"),
        ('{"query": "q", "pos": ["p"], "pos_scores": ["0.5"], "neg": ["n"], "neg_scores": ["x"]}', r"\['x'\].*:2"),
        ('{"query": "", "pos": ["p"]}', "a query in.*a.jsonl:2"),
        ('{"query": " \\t", "pos": ["p"]}', "a query in.*a.jsonl:2"),
    ],
    ids=["key twice", "text as score", "no query", "blank query"],
)
def test_the_blame_falls_on_the_line_at_fault(second, message, tmp_path):
    first = {**FLAG, "pos_scores": ["0.5"], "neg_scores": ["1e3"]}
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(first)}\n{second}\n")
    with pytest.raises(InputError, match=message) as refused:
        import_scores(tmp_path / "a.jsonl", tmp_path / "out")
    assert "records" not in refused.value.got
