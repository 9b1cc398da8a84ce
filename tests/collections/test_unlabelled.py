"""Texts without labels, from whatever holds them."""

from __future__ import annotations

import gzip
import json

import datasets
import pytest

from st_mta.collections.unlabelled import load_texts, numbered
from st_mta.errors import InputError

LINES = ["a cat sleeps", "", "  ", "Ärger um 1,5 kg", "the last"]
KEPT = ["a cat sleeps", "Ärger um 1,5 kg", "the last"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def written(folder, kind):
    rows = [{"text": line, "number": place} for place, line in enumerate(LINES)]
    folder.mkdir()
    if kind == "txt":
        (folder / "a.txt").write_text("\n".join(LINES), encoding="utf-8")
    elif kind == "txt.gz":
        (folder / "a.txt.gz").write_bytes(gzip.compress("\n".join(LINES).encode()))
    elif kind == "jsonl":
        (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif kind == "csv":
        datasets.Dataset.from_list(rows).to_csv(folder / "a.csv")
    elif kind == "parquet":
        datasets.Dataset.from_list(rows).to_parquet(folder / "a.parquet")
    else:
        datasets.Dataset.from_list(rows).save_to_disk(folder)
    return folder


@pytest.mark.parametrize("kind", ["txt", "txt.gz", "jsonl", "csv", "parquet", "saved"])
def test_every_form_gives_the_same_texts(tmp_path, kind):
    texts = load_texts(written(tmp_path / "texts", kind))
    assert texts.take(range(len(texts))) == KEPT
    assert texts.ids == ["0", "1", "2"]


def test_files_of_a_folder_come_in_the_order_of_their_names(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.txt").write_text(f"{name} first\n{name} second\n")
    (tmp_path / "._a.txt").write_text("of an archive")
    (tmp_path / "notes.md").write_text("not data")
    assert load_texts(tmp_path).take(range(4)) == ["a first", "a second", "b first", "b second"]


def test_the_only_column_of_texts_needs_no_name(tmp_path):
    datasets.Dataset.from_dict({"abstract": ["one", "two"], "year": [1, 2]}).to_parquet(tmp_path / "a.parquet")
    assert load_texts(tmp_path / "a.parquet").take([0, 1]) == ["one", "two"]


def test_what_cannot_be_read_is_refused(tmp_path):
    datasets.Dataset.from_dict({"left": ["one"], "right": ["two"]}).to_parquet(tmp_path / "two.parquet")
    mixed, blank, nothing = (tmp_path / name for name in ("mixed", "blank", "nothing"))
    for folder in (mixed, blank, nothing):
        folder.mkdir()
    (mixed / "a.txt").write_text("a")
    (mixed / "b.jsonl").write_text('{"text": "b"}\n')
    (blank / "a.txt").write_text("\n \n")
    for source, words in (
        (tmp_path / "two.parquet", "a column 'text'"),
        (mixed, "files of one kind"),
        (blank, "none that is not blank"),
        (nothing, "no such file"),
        (tmp_path / "absent.txt", "texts: a file"),
    ):
        with pytest.raises(InputError, match=words):
            load_texts(source)


def test_columns_after_each_other(toy_collection):
    both = numbered([toy_collection.corpus.column, toy_collection.queries.column])
    assert len(both) == len(toy_collection.corpus) + len(toy_collection.queries)
    assert both.take([len(toy_collection.corpus)]) == toy_collection.queries.take([0])
