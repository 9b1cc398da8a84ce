from __future__ import annotations

import gzip
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from st_mta.collections import load_collection, read_beir, read_hub
from st_mta.errors import InputError
from tests.collections.conftest import CORPUS, QRELS, QUERIES, write_jsonl

CARD = """---
license: cc0-1.0
configs:
- config_name: {qrels}
  data_files:
  - split: train
    path: qrels/train.{form}
  - split: test
    path: qrels/test.{form}
- config_name: corpus
  data_files:
  - split: corpus
    path: corpus.{form}
- config_name: queries
  data_files:
  - split: queries
    path: queries.{form}
---
"""


@pytest.fixture(autouse=True)
def _own_cache_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def write(path: Path, records: list[dict[str, object]]) -> None:
    """Writes a table as Parquet or JSON lines, by the ending of its name."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    else:
        write_jsonl(path, records)


def judgement(query_id: str, passage_id: str, grade: str) -> dict[str, object]:
    return {"query-id": query_id, "corpus-id": passage_id, "score": float(grade)}


def as_mteb(folder: Path, form: str = "parquet", qrels: str = "default") -> Path:
    """Turns the folder of the fixture into a dataset repository in the form of mteb."""
    (folder / "README.md").write_text(CARD.format(qrels=qrels, form=form))
    texts = [{"_id": row["_id"], "title": row.get("title", ""), "text": row["text"]} for row in CORPUS]
    write(folder / f"corpus.{form}", texts)
    write(folder / f"queries.{form}", list(QUERIES))
    for split, text in QRELS.items():
        (folder / "qrels" / f"{split}.tsv").unlink()
        write(folder / "qrels" / f"{split}.{form}", [judgement(*row.split("\t")) for row in text.splitlines()[1:]])
    return folder


@pytest.mark.parametrize(("form", "qrels"), [("parquet", "default"), ("jsonl", "default"), ("parquet", "qrels")])
def test_mteb_form_equals_the_folder(folder: Path, form: str, qrels: str) -> None:
    expected = read_beir(folder)
    collection = read_hub(str(as_mteb(folder, form, qrels)))
    assert collection.fingerprint == expected.fingerprint
    assert collection.qrels == expected.qrels
    assert collection.licence == "cc0-1.0"
    assert collection.name == "pets"
    assert any(note.startswith("Read from") for note in collection.notes)


def test_beir_form_with_loading_script_and_separate_qrels(folder: Path) -> None:
    expected = read_beir(folder)
    (folder / "pets.py").write_text("raise SystemExit('never run')")
    for name in ("corpus.jsonl", "queries.jsonl"):
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    (folder / "qrels").rename(folder.with_name("pets-qrels"))
    collection = read_hub(str(folder))
    assert collection.qrels == expected.qrels
    assert collection.fingerprint == expected.fingerprint


def test_validation_is_called_dev(folder: Path) -> None:
    as_mteb(folder)
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card.replace("split: train", "split: validation"))
    assert list(read_hub(str(folder)).qrels) == ["dev", "test"]


def as_languages(folder: Path, names: str, qrels: str) -> Path:
    """The folder in the form of mteb with the same data in German, and English without its last passage."""
    as_mteb(folder)
    card = (folder / "README.md").read_text()
    header, _, _ = card.partition("configs:")
    text = header + "configs:\n"
    for language in ("de", "en"):
        for part in ("corpus", "queries"):
            file = "corpus-en" if (part, language) == ("corpus", "en") else part
            text += f"- config_name: {names.format(language, part)}\n  data_files: {file}.parquet\n"
        config = names.format(language, "qrels") if qrels == "each" else qrels
        if config not in text:
            text += f"- config_name: {config}\n  data_files:\n  - split: test\n    path: qrels/test.parquet\n"
    (folder / "README.md").write_text(text + "---\n")
    pq.write_table(pq.read_table(folder / "corpus.parquet").slice(0, 3), folder / "corpus-en.parquet")
    return folder


@pytest.mark.parametrize(("names", "qrels"), [("{}-{}", "each"), ("{1}-{0}", "each"), ("{}-{}", "default")])
def test_one_language_of_several(folder: Path, names: str, qrels: str) -> None:
    expected = read_beir(folder).qrels["test"]
    as_languages(folder, names, qrels)
    german, english = (load_collection(f"{folder}#{language}") for language in ("de", "en"))
    assert (german.name, english.name) == ("pets-de", "pets-en")
    assert (len(german.corpus), len(english.corpus)) == (4, 3)
    assert german.qrels == {"test": expected} and german.hub_id is None
    for source in (str(folder), f"{folder}#fr"):
        with pytest.raises(InputError, match=r"one language of .*pets: de, en.*pets#de"):
            load_collection(source)


def test_a_language_where_there_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="the language 'en'.*name the folder alone"):
        load_collection(f"{folder}#en")
    as_mteb(folder)
    with pytest.raises(InputError, match="got 'en'.*pets alone"):
        load_collection(f"{folder}#en")


def test_columns_of_other_names(folder: Path) -> None:
    expected = read_beir(folder)
    as_mteb(folder)
    for file, names in (
        ("corpus", ["docid", "title", "Contents"]),
        ("queries", ["query_id", "query"]),
        ("qrels/test", ["qid", "doc_id", "relevance"]),
        ("qrels/train", ["qid", "doc_id", "relevance"]),
    ):
        table = pq.read_table(folder / f"{file}.parquet")
        pq.write_table(table.rename_columns(names), folder / f"{file}.parquet")
    collection = read_hub(str(folder))
    assert collection.fingerprint == expected.fingerprint
    assert collection.qrels["test"]["q2"]["p2"] == 2, "the grades are not all taken for 1"


def test_two_splits_for_one_are_refused(folder: Path) -> None:
    as_mteb(folder)
    card = (folder / "README.md").read_text()
    card = card.replace("split: train", "split: dev").replace("split: test", "split: validation")
    (folder / "README.md").write_text(card)
    with pytest.raises(InputError, match="for 'dev', got 'validation' beside another"):
        read_hub(str(folder))


def test_nano_beir_has_one_split_called_train_and_no_grades(folder: Path) -> None:
    as_mteb(folder, qrels="qrels")
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card.replace("  - split: test\n    path: qrels/test.parquet\n", ""))
    rows = [{"query-id": "q1", "corpus-id": "p1"}, {"query-id": "q1", "corpus-id": "p3"}]
    write(folder / "qrels" / "train.parquet", rows)
    folder.rename(folder.with_name("nano-nq"))
    collection = load_collection("nano-nq", data=folder.parent)
    assert collection.name == "nano-nq"
    assert collection.qrels == {"test": {"q1": {"p1": 1, "p3": 1}}}


def test_texts_without_titles_are_not_copied(folder: Path) -> None:
    as_mteb(folder)
    long = "a passage of some length " * 1000
    write(folder / "corpus.parquet", [{"_id": f"p{i}", "title": "", "text": f"{i} {long}."} for i in range(1, 5)])
    read_hub(str(folder))  # fills the cache
    before = pa.total_allocated_bytes()
    column = read_hub(str(folder)).corpus.column
    assert column.nbytes > 4 * len(long)
    # the characters of a memory-mapped column belong to no Arrow memory pool
    assert pa.total_allocated_bytes() - before < len(long)


def test_fractional_grade_names_split_and_row(folder: Path) -> None:
    as_mteb(folder)
    write(folder / "qrels" / "test.parquet", [judgement("q2", "p2", "1"), judgement("q3", "p3", "0.5")])
    with pytest.raises(InputError, match=r"0\.5 at .*pets, split test, row 1"):
        read_hub(str(folder))


def test_unknown_ids_are_noted_with_split_and_row(folder: Path) -> None:
    as_mteb(folder)
    rows = [judgement("q2", "p2", "1"), judgement("q9", "p2", "1"), judgement("q3", "p9", "1")]
    write(folder / "qrels" / "test.parquet", rows)
    collection = read_hub(str(folder))
    assert collection.qrels["test"] == {"q2": {"p2": 1}, "q3": {"p9": 1}}
    assert any("query id 'q9' at pets, split test, row 1." in note for note in collection.notes)
    assert any("passage id 'p9' at pets, split test, row 2." in note for note in collection.notes)
    assert not any(str(folder.parent) in note for note in collection.notes)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"key": "q1", "text": "x"}, r"column _id or id .* got the columns \['key', 'text'\]"),
        ({"_id": "q1", "text": None}, "column text or query .* got 1 missing values"),
    ],
)
def test_missing_columns_and_values_are_named(folder: Path, record: dict[str, object], words: str) -> None:
    as_mteb(folder)
    write(folder / "queries.parquet", [record])
    with pytest.raises(InputError, match=words):
        read_hub(str(folder))


def test_missing_configuration_is_named(folder: Path) -> None:
    as_mteb(folder)
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card.replace("config_name: queries", "config_name: questions"))
    with pytest.raises(InputError, match="configuration 'queries'.*questions"):
        read_hub(str(folder))


def test_unreachable_hub_says_where_a_copy_can_lie() -> None:
    with pytest.raises(InputError, match=r"ConnectionError.*\$ST_MTA_DATA/pets") as caught:
        read_hub("me/pets")
    assert "'me/pets'" in caught.value.expected


def test_a_missing_benchmark_says_what_to_download_and_where_to_put_it() -> None:
    with pytest.raises(InputError) as caught:
        read_hub("mteb/cqadupstack-tex")
    remedy = caught.value.remedy
    assert "hf download mteb/cqadupstack-tex --repo-type dataset --local-dir DATA/cqadupstack-tex" in remedy
    assert "BEIR/datasets/cqadupstack.zip in DATA, as DATA/cqadupstack/tex/corpus.jsonl" in remedy
    with pytest.raises(InputError) as caught:
        read_hub("zeta-alpha-ai/NanoNQ")
    assert ".zip" not in caught.value.remedy and "qrels/test.tsv in DATA/nano-nq" in caught.value.remedy


def test_other_runtime_errors_are_not_swallowed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fail(name: str, *_: object, **__: object) -> None:
        asked.append(name)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        read_hub(str(folder))
    assert asked == [str(folder)]
