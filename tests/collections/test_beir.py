from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from st_mta.collections import read_beir, records
from st_mta.errors import InputError
from tests.collections.conftest import CORPUS, write_jsonl


def read_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_read_at_once", records._read_line_by_line)


def test_reads_titles_texts_grades_and_what_is_left_over(folder: Path) -> None:
    collection = read_beir(folder)
    assert collection.name == "pets"
    assert collection.corpus.ids == ["p1", "p2", "p3", "p4"]
    assert collection.corpus.column.to_pylist() == [
        "Cats Cats purr when they are content.",
        "Dogs bark at strangers.",
        "Fish are silent.",
        "Owls",
    ]
    assert collection.qrels == {
        "train": {"q1": {"p1": 1, "p2": 0}},
        "test": {"q2": {"p2": 2, "p1": 1, "p3": 0}, "q3": {"p3": 1}, "q4": {"p1": 0}},
    }
    assert collection.queries.take_ids(collection.unlabelled) == ["q5"]
    assert collection.queries.take_ids(collection.queries_of("test")) == ["q2", "q3", "q4"]
    assert "1 queries of test have no relevant passage and count as 0, as in BEIR." in collection.notes


def test_compressed_files_give_the_same_collection(folder: Path) -> None:
    expected = read_beir(folder)
    for path in (folder / "corpus.jsonl", folder / "queries.jsonl", folder / "qrels" / "train.tsv"):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()
    assert read_beir(folder).fingerprint == expected.fingerprint


def test_line_by_line_reading_gives_the_same_collection(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read_beir(folder)
    read_by_line(monkeypatch)
    slow = read_beir(folder)
    assert slow.fingerprint == expected.fingerprint
    assert slow.notes == expected.notes


def test_surrounding_space_goes_without_titles_too(folder: Path) -> None:
    texts = [" space before", "space after ", "none", " "]
    write_jsonl(folder / "corpus.jsonl", [{"_id": f"p{i}", "text": text} for i, text in enumerate(texts, start=1)])
    assert read_beir(folder).corpus.column.to_pylist() == ["space before", "space after", "none", ""]


def test_split_names_and_order(folder: Path) -> None:
    (folder / "qrels" / "train.tsv").rename(folder / "qrels" / "validation.tsv")
    shutil.copy(folder / "qrels" / "test.tsv", folder / "qrels" / "all.tsv")
    assert list(read_beir(folder).qrels) == ["dev", "test", "all"]


def test_without_qrels_every_query_is_unlabelled(folder: Path) -> None:
    shutil.rmtree(folder / "qrels")
    collection = read_beir(folder)
    assert collection.qrels == {}
    assert collection.unlabelled.tolist() == [0, 1, 2, 3, 4]


def test_without_queries_there_is_a_corpus(folder: Path) -> None:
    shutil.rmtree(folder / "qrels")
    (folder / "queries.jsonl").unlink()
    collection = read_beir(folder)
    assert len(collection.corpus) == 4
    assert len(collection.queries) == len(collection.unlabelled) == 0


def test_empty_passages_stay_and_are_counted(folder: Path) -> None:
    write_jsonl(folder / "corpus.jsonl", [*CORPUS, {"_id": "p5", "title": "", "text": " "}])
    collection = read_beir(folder)
    assert collection.corpus["p5"] == ""
    assert "1 passage texts are empty and were kept." in collection.notes


def test_blank_query_is_no_training_query(folder: Path) -> None:
    with (folder / "queries.jsonl").open("a") as file:
        file.write('{"_id": "q6", "text": "  "}\n')
    assert read_beir(folder).unlabelled.tolist() == [4]


def test_numbers_as_ids_become_strings(folder: Path) -> None:
    shutil.rmtree(folder / "qrels")
    write_jsonl(folder / "corpus.jsonl", [{"_id": 7, "text": "seven"}])
    assert read_beir(folder).corpus.ids == ["7"]


def test_ids_keep_quotes_and_leading_zeros(folder: Path) -> None:
    write_jsonl(folder / "corpus.jsonl", [{"_id": '007"', "text": "James"}, {"_id": "7", "text": "seven"}])
    write_jsonl(folder / "queries.jsonl", [{"_id": 'q"s"', "text": "who"}, {"_id": "NA", "text": "what"}])
    (folder / "qrels" / "train.tsv").write_text('query-id\tcorpus-id\tscore\nq"s"\t007"\t1\nNA\t7\t1\n')
    (folder / "qrels" / "test.tsv").unlink()
    assert read_beir(folder).qrels == {"train": {'q"s"': {'007"': 1}, "NA": {"7": 1}}}


@pytest.mark.parametrize("grade", ["1", "1.0"])
def test_qrels_without_header_lose_no_row(folder: Path, grade: str) -> None:
    (folder / "qrels" / "train.tsv").write_text(f"q1\tp1\t{grade}\nq5\tp3\t{grade}\n")
    assert read_beir(folder).qrels["train"] == {"q1": {"p1": 1}, "q5": {"p3": 1}}


def test_windows_line_ends(folder: Path) -> None:
    expected = read_beir(folder).fingerprint
    for path in folder.rglob("*.*"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_beir(folder).fingerprint == expected


def test_byte_order_marks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read_beir(folder).fingerprint
    for path in folder.rglob("*.*"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_beir(folder).fingerprint == expected
    read_by_line(monkeypatch)
    assert read_beir(folder).fingerprint == expected


def test_repeated_judgement_is_noted_and_the_last_one_counts(folder: Path) -> None:
    with (folder / "qrels" / "train.tsv").open("a") as file:
        file.write("q1\tp1\t3\n")
    collection = read_beir(folder)
    assert collection.qrels["train"]["q1"] == {"p1": 3, "p2": 0}
    assert "1 repeated judgements in train; the last one counts." in collection.notes


def test_queries_shared_between_splits_are_noted(folder: Path) -> None:
    with (folder / "qrels" / "train.tsv").open("a") as file:
        file.write("q2\tp2\t1\n")
    assert "1 of 3 queries of test have the same text as a query of train." in read_beir(folder).notes


GOOD = json.dumps({"_id": "y", "text": "y"})
BAD_CORPUS = {
    "no JSON": (b'{"_id": "x", "text": ', "no JSON"),
    "no object": (b'["x"]', "a list"),
    "no id": (b'{"text": "x"}', "only the keys ['text']"),
    "no text": (b'{"_id": "x"}', "only the keys ['_id']"),
    "null text": (b'{"_id": "x", "text": null}', "None"),
    "a list as text": (b'{"_id": "x", "text": [3]}', "got [3]"),
    "true as text": (b'{"_id": "x", "text": true}', "got True"),
    "pandas' missing text": (b'{"_id": "x", "text": NaN}', "got nan"),
    "true as title": (b'{"_id": "x", "title": true, "text": "x"}', "got True"),
    "a list as title": (b'{"_id": "x", "title": ["x"], "text": "x"}', "got ['x']"),
    "a fraction as id": (b'{"_id": 7.0, "text": "x"}', "got 7.0"),
    "another id key": (b'{"id": "x", "text": "x"}', "only the keys ['id', 'text']"),
    "nested": (b'{"_id": "x", "text": ' + b"[" * 100_000, "nested too deeply"),
    "bytes": (b'{"_id": "x", "text": "\xff"}', "UTF-8"),
    "half a character": (b'{"_id": "x", "text": "\\ud800"}', "half a character"),
    "duplicate id": (b'{"_id": "p2", "text": "x"}', "the id 'p2' of line 2 again"),
}


@pytest.mark.parametrize(("line", "words"), BAD_CORPUS.values(), ids=BAD_CORPUS.keys())
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
def test_bad_corpus_line_is_named(folder: Path, line: bytes, words: str, compressed: bool) -> None:
    path = folder / "corpus.jsonl"
    content = path.read_bytes() + b"\n" + line + b"\n" + GOOD.encode() + b"\n"  # a blank line counts as a line
    path.write_bytes(content)
    if compressed:
        path.unlink()
        path = path.with_name("corpus.jsonl.gz")
        path.write_bytes(gzip.compress(content, mtime=0))
    with pytest.raises(InputError) as caught:
        read_beir(folder)
    assert f"{path}:6" in str(caught.value)
    assert words in str(caught.value)


def test_duplicate_query_names_both_lines(folder: Path) -> None:
    with (folder / "queries.jsonl").open("a") as file:
        file.write('{"_id": "q2", "text": "again"}\n')
    with pytest.raises(InputError, match=r"'q2' of line 2 again at .*queries\.jsonl:6"):
        read_beir(folder)


BAD_QRELS = {
    "two fields": ("q1\tp1", r"'q1\\tp1' at .*test\.tsv:8"),
    "spaces": ("q1 p1 1", r"'q1 p1 1' at .*test\.tsv:8"),
    "trec": ("q1\t0\tp1\t1", r"at .*test\.tsv:8"),
    "no id": ("\tp1\t1", r"'\\tp1\\t1' at .*test\.tsv:8"),
    "twenty digits": ("q1\tp1\t99999999999999999999", r"'99999999999999999999' at .*test\.tsv:8"),
    "fraction": ("q1\tp1\t0.5", r"'0\.5' at .*test\.tsv:8"),
    "word": ("q1\tp1\tyes", r"'yes' at .*test\.tsv:8"),
    "not a number": ("q1\tp1\tnan", r"'nan' at .*test\.tsv:8"),
}


@pytest.mark.parametrize(("row", "words"), BAD_QRELS.values(), ids=BAD_QRELS.keys())
def test_bad_judgement_is_named(folder: Path, row: str, words: str) -> None:
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write(f"\n{row}\n")  # after a blank line, so that line numbers and rows differ
    with pytest.raises(InputError, match=words):
        read_beir(folder)


def test_missing_folder_and_missing_corpus(folder: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_beir(folder / "nowhere")
    (folder / "corpus.jsonl").unlink()
    with pytest.raises(InputError, match=r"corpus\.jsonl.* got no such file"):
        read_beir(folder)


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_empty_corpus(folder: Path, content: str) -> None:
    (folder / "corpus.jsonl").write_text(content)
    with pytest.raises(InputError, match="an empty corpus in 'pets'"):
        read_beir(folder)


def test_truncated_gz_is_an_input_error(folder: Path) -> None:
    content = gzip.compress((folder / "corpus.jsonl").read_bytes() * 100)
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.jsonl.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"corpus\.jsonl\.gz:\d+"):
        read_beir(folder)


def test_long_lines_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "BLOCK_BYTES", 64)
    write_jsonl(folder / "corpus.jsonl", [*CORPUS, {"_id": "p5", "text": "long " * 100}])
    assert read_beir(folder).corpus["p5"] == ("long " * 100).strip()


@pytest.mark.parametrize("content", ["", "query-id\tcorpus-id\tscore\n"])
def test_a_file_without_judgements_is_noted(folder: Path, content: str) -> None:
    (folder / "qrels" / "test.tsv").write_text(content, encoding="utf-8")
    assert "test.tsv has no judgements." in read_beir(folder).notes
