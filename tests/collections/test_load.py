from __future__ import annotations

from pathlib import Path

import pytest

from st_mta.collections import from_dictionaries, load, load_collection, read_beir
from st_mta.errors import InputError


@pytest.fixture(autouse=True)
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids the Hub was asked for; the working folder is empty."""
    ids: list[str] = []

    def read_hub(dataset_id: str, *, splits: dict[str, str]) -> object:
        ids.append(dataset_id)
        assert splits == ({"train": "test"} if "Nano" in dataset_id else {})
        return from_dictionaries(dataset_id.partition("/")[2], {"p": "x"})

    monkeypatch.setattr(load, "read_hub", read_hub)
    monkeypatch.delenv(load.DATA_VARIABLE, raising=False)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    return ids


def test_a_collection_comes_back() -> None:
    collection = from_dictionaries("pets", {"p": "x"})
    assert load_collection(collection) is collection


def test_pydocs(monkeypatch: pytest.MonkeyPatch) -> None:
    built = from_dictionaries("pydocs", {"p": "x"})
    monkeypatch.setattr(load, "pydocs", lambda: built)
    assert load_collection("pydocs") is built


def test_a_folder_as_path_and_as_string(folder: Path, asked: list[str]) -> None:
    expected = read_beir(folder).fingerprint
    assert load_collection(folder).fingerprint == load_collection(str(folder)).fingerprint == expected
    assert not asked


def test_a_name_under_the_data_folder_comes_before_the_hub(
    folder: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read_beir(folder).fingerprint
    monkeypatch.setenv(load.DATA_VARIABLE, str(folder.parent))
    assert load_collection("pets").fingerprint == expected
    folder.rename(folder.with_name("scifact"))
    assert load_collection("scifact").fingerprint == expected
    assert not asked


def test_benchmarks_and_hub_ids(asked: list[str]) -> None:
    assert load_collection("dbpedia-entity").name == "dbpedia-entity"
    assert load_collection("webis-touche2020").name == "webis-touche2020"
    assert load_collection("nano-fiqa").name == "nano-fiqa"
    assert load_collection("BeIR/scifact").name == "scifact"
    assert load_collection("zeta-alpha-ai/NanoNQ").name == "NanoNQ"
    assert asked == [
        "mteb/dbpedia",
        "mteb/touche2020",
        "zeta-alpha-ai/NanoFiQA2018",
        "BeIR/scifact",
        "zeta-alpha-ai/NanoNQ",
    ]


def test_the_data_folder_as_an_argument_comes_before_the_variable(
    folder: Path, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(load.DATA_VARIABLE, str(tmp_path / "empty"))
    assert load_collection("pets", data=folder.parent).name == "pets"
    with pytest.raises(InputError, match="no folder"):
        load_collection("scifact", data=tmp_path / "nowhere")
    assert not asked


def test_a_forum_lies_where_the_archive_of_all_forums_unpacks(folder: Path, asked: list[str]) -> None:
    (folder.parent / "cqadupstack").mkdir()
    folder.rename(folder.parent / "cqadupstack" / "android")
    assert load_collection("cqadupstack-android", data=folder.parent).name == "cqadupstack-android"
    assert not asked


def test_a_card_alone_makes_no_hub_dataset(folder: Path, asked: list[str]) -> None:
    (folder / "README.md").write_text("- config_name: corpus\n")
    assert list(load_collection(folder).qrels) == ["train", "test"]
    assert not asked


def test_unknown_names_are_refused_without_reading_the_others(folder: Path, asked: list[str]) -> None:
    (folder / "corpus.jsonl").write_text("spoilt")
    load.refuse_unknown([folder, "scifact", from_dictionaries("pets", {"p": "x"})])
    with pytest.raises(InputError, match="sciffact"):
        load.refuse_unknown(["scifact", "sciffact"])
    assert not asked


def test_a_group_is_no_collection() -> None:
    with pytest.raises(InputError, match="members .trec-dl-2019, trec-dl-2020."):
        load_collection("trec-dl")


@pytest.mark.parametrize("name", ["", "sciffact", "./pets", "/no/such/folder", "a/b/c", "~/pets", "pets/"])
def test_anything_else_is_refused_with_what_would_do(name: str, asked: list[str]) -> None:
    with pytest.raises(InputError):
        load_collection(name)
    assert not asked


def test_the_refusal_lists_the_benchmarks_and_the_variable() -> None:
    with pytest.raises(InputError, match=r"scifact, nano-arguana.*got 'sciffact'.*ST_MTA_DATA is not set"):
        load_collection("sciffact")
