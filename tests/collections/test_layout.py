"""Which files of a folder are read: none that could be labels, queries or corpus is passed over in silence."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import pytest

from st_mta.collections import load_collection, read_beir
from st_mta.errors import InputError

LABELS = "query-id\tcorpus-id\tscore\nq1\tp1\t1\n"
TRAIN = {"q1": {"p1": 1}}


@pytest.fixture
def bare(folder: Path) -> Path:
    """The folder with ``qrels/`` empty."""
    for path in (folder / "qrels").iterdir():
        path.unlink()
    return folder


@pytest.mark.parametrize(
    "name",
    "train.tsv train.TSV Train.tsv TRAIN.TSV.GZ train.txt train.csv train.qrels Train.TREC Training.txt.gz".split(),
)
def test_labels_are_read_whatever_the_file_ends_with(bare: Path, name: str) -> None:
    content = LABELS.replace("\t", ",") if "csv" in name else LABELS
    pack = gzip.compress if name.lower().endswith("gz") else bytes
    (bare / "qrels" / name).write_bytes(pack(content.encode()))
    assert read_beir(bare).qrels == {"train": TRAIN}


@pytest.mark.parametrize("name", ["Qrels", "QRELS"])
def test_the_folder_of_labels_in_any_case(bare: Path, name: str) -> None:
    (bare / "qrels").rename(bare / name)
    (bare / name / "Dev.tsv").write_text(LABELS)
    assert read_beir(bare).qrels == {"dev": TRAIN}


@pytest.mark.parametrize("name", ["Corpus.jsonl", "CORPUS.JSONL", "corpus.jsonl.GZ"])
def test_corpus_in_any_case(folder: Path, name: str) -> None:
    expected = read_beir(folder).fingerprint
    content = (folder / "corpus.jsonl").read_bytes()
    (folder / "corpus.jsonl").unlink()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith("GZ") else content)
    assert read_beir(folder).fingerprint == expected


@pytest.mark.parametrize(
    "files",
    [
        ["qrels/dev.tsv", "qrels/validation.tsv"],
        ["qrels/val.tsv", "qrels/valid.tsv.gz"],
        ["qrels/dev.tsv", "qrels/dev.tsv.gz"],
        ["qrels/test.tsv", "qrels/Test.tsv"],
        ["qrels/test.csv", "qrels/test.tsv"],
        ["corpus.jsonl", "corpus.jsonl.gz"],
        ["Queries.jsonl", "queries.jsonl"],
    ],
    ids=" + ".join,
)
def test_two_files_for_one_purpose_are_refused_with_both_names(bare: Path, files: list[str]) -> None:
    for name in files:
        if not (bare / name).exists():
            (bare / name).write_text(LABELS)
    with pytest.raises(InputError) as caught:
        read_beir(bare)
    assert all(str(bare / name) in caught.value.got for name in files)


MISPLACED = """qrels.tsv qrels.txt QRELS.TSV qrels.test.txt qrels-dev.trec qrel.tsv test.tsv dev.qrels Train.csv
    validation.txt test.jsonl train.parquet labels.tsv judgments.txt train_qrels.tsv my.qrels qrels.tsv.gz
    relevance.csv qrels.zip qrels/train.jsonl qrels/test.parquet qrels/test.tsv.zip qrels/test qrels/train.json
    qrels/qrels.train.tsv qrels/train-small.tsv""".split()


@pytest.mark.parametrize("name", MISPLACED)
def test_labels_that_would_not_be_read_are_refused(bare: Path, name: str) -> None:
    (bare / name).write_text(LABELS)
    with pytest.raises(InputError, match="trained on") as caught:
        read_beir(bare)
    assert str(bare / name) in caught.value.got


@pytest.mark.parametrize("name", ["labels", "qrel", "qrels/test"])
def test_a_folder_of_labels_of_another_name_is_refused(bare: Path, name: str) -> None:
    (bare / name).mkdir()
    with pytest.raises(InputError, match="trained on"):
        read_beir(bare)


def test_labels_beside_those_of_the_folder_are_refused_too(folder: Path) -> None:
    (folder / "qrels.tsv").write_text(LABELS)
    with pytest.raises(InputError, match=r"qrels\.tsv"):
        load_collection(folder)


def test_a_copy_of_old_labels_is_a_split_of_its_own(folder: Path) -> None:
    expected = read_beir(folder)
    (folder / "qrels" / "test.bak.tsv").write_text("query-id\tcorpus-id\tscore\nq5\tp1\t1\n")
    collection = read_beir(folder)
    assert collection.qrels == {**expected.qrels, "test.bak": {"q5": {"p1": 1}}}
    said = "Judgements of other splits than train, dev, test: qrels/test.bak.tsv (test.bak)."
    assert said in collection.notes
    assert not len(collection.unlabelled), "its queries are judged, so they are not trained on"


@pytest.mark.parametrize("name", ["._test.tsv", ".DS_Store", ".test.tsv.swp", "__MACOSX"])
@pytest.mark.parametrize("where", ["qrels", "."])
def test_dot_files_are_no_data(folder: Path, name: str, where: str) -> None:
    expected = read_beir(folder)
    (folder / where / name).write_bytes(b"\0\5\xff")
    collection = read_beir(folder)
    assert (collection.fingerprint, collection.notes) == (expected.fingerprint, expected.notes)


def test_what_is_not_read_is_noted(folder: Path) -> None:
    expected = read_beir(folder).fingerprint
    for name in ("qrels/README.md", "qrels/test.tsv~", "gen-queries.jsonl", "queries.tsv", "corpus.tsv", "LICENSE"):
        (folder / name).write_text("x")
    (folder / "gen-qrels").mkdir()
    (folder / "runs").mkdir()
    collection = read_beir(folder)
    assert collection.fingerprint == expected
    noted = "qrels/README.md, qrels/test.tsv~, corpus.tsv, gen-qrels, gen-queries.jsonl, queries.tsv"
    assert f"Not read: {noted}." in collection.notes


def test_labels_in_a_folder_of_another_name_are_noted(folder: Path) -> None:
    expected = read_beir(folder)
    for name in ("data/test.tsv", "splits/dev.jsonl.gz", "data/train.py", "data/other.tsv", "runs/bm25.trec"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(LABELS)
    collection = read_beir(folder)
    assert collection.fingerprint == expected.fingerprint
    assert set(collection.notes) - {*expected.notes} == {"Not read: data/test.tsv, splits/dev.jsonl.gz."}


@pytest.mark.parametrize("name", ["queries.tsv", "queries.json", "topics.txt", "test_queries.jsonl"])
def test_queries_of_another_form_are_refused_where_there_are_no_others(folder: Path, name: str) -> None:
    shutil.rmtree(folder / "qrels")
    (folder / "queries.jsonl").rename(folder / name)
    with pytest.raises(InputError, match=f"got only {name}"):
        read_beir(folder)


def test_a_corpus_of_another_form_is_named(folder: Path) -> None:
    (folder / "corpus.jsonl").rename(folder / "collection.tsv")
    with pytest.raises(InputError, match=r"no such file, but collection\.tsv.*on each line of corpus\.jsonl"):
        read_beir(folder)
    with pytest.raises(InputError, match="got a file"):
        read_beir(folder / "queries.jsonl")


def test_programs_beside_the_data_are_no_labels(folder: Path) -> None:
    for name in ("train.py", "labels.md", "test.sh", "train.log", "qrels.md5"):
        (folder / name).write_text("x")
    assert list(read_beir(folder).qrels) == ["train", "test"]
