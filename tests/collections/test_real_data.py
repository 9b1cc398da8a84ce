"""Counts of real collections, where a copy of them is at hand; none of them is needed to work on the package."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from st_mta.collections import read_beir

# name: (passages, {split: (queries, judgements)}) as published, or counted with wc
COUNTS = {
    "scifact": (5183, {"train": (809, 919), "test": (300, 339)}),
    "openbookqa": (1326, {"train": (4878, 4878), "dev": (500, 500), "test": (500, 500)}),
    "medquad": (17873, {"train": (7999, 9076), "dev": (1000, 1142), "test": (96, 2140)}),
    "cranfield-src": (1398, {"test": (225, 1836)}),
    "dbpedia-mini": (5000, {"test": (40, 3709)}),
}


def folder_of(name: str) -> Path:
    project = Path(__file__).resolve().parents[2]
    for data in (os.environ.get("ST_MTA_DATA"), project.parent / "shared" / "data"):
        if data and Path(data, name, "corpus.jsonl").is_file():
            return Path(data, name)
    pytest.skip(f"no copy of {name}: set ST_MTA_DATA to a folder that holds one")


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name: str) -> None:
    passages, splits = COUNTS[name]
    collection = read_beir(folder_of(name))
    assert len(collection.corpus) == passages
    assert {split: (len(rows), sum(map(len, rows.values()))) for split, rows in collection.qrels.items()} == splits
    assert not len(collection.unlabelled)


def test_grades_stay_graded() -> None:
    qrels = read_beir(folder_of("dbpedia-mini")).qrels["test"]
    grades = [grade for rows in qrels.values() for grade in rows.values()]
    assert [grades.count(grade) for grade in (0, 1, 2)] == [2829, 614, 266]


def test_title_is_joined() -> None:
    collection = read_beir(folder_of("scifact"))
    assert collection.corpus["4983"].startswith(
        "Microstructural development of human newborn cerebral white matter assessed in vivo by diffusion tensor "
        "magnetic resonance imaging. Alterations"
    )
