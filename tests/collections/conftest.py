"""A small folder in the layout of BEIR, whose counts are known, to be spoilt by the tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CORPUS = [
    {"_id": "p1", "title": "Cats", "text": "Cats purr when they are content. "},
    {"_id": "p2", "title": "", "text": " Dogs bark at strangers."},
    {"_id": "p3", "text": "Fish are silent.", "metadata": {"length": 3}},
    {"_id": "p4", "title": "Owls", "text": ""},
]
QUERIES = [
    {"_id": "q1", "text": "who purrs"},
    {"_id": "q2", "text": "who barks"},
    {"_id": "q3", "text": "who is silent"},
    {"_id": "q4", "text": "who flies"},
    {"_id": "q5", "text": "who swims"},
]
QRELS = {
    "train": "query-id\tcorpus-id\tscore\nq1\tp1\t1\nq1\tp2\t0\n",
    "test": "query-id\tcorpus-id\tscore\nq2\tp2\t2\nq2\tp1\t1\nq2\tp3\t-1\nq3\tp3\t1\nq4\tp1\t0\n",
}


def write_jsonl(path: Path, records: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pets"
    (root / "qrels").mkdir(parents=True)
    write_jsonl(root / "corpus.jsonl", CORPUS)
    write_jsonl(root / "queries.jsonl", QUERIES)
    for split, rows in QRELS.items():
        (root / "qrels" / f"{split}.tsv").write_text(rows, encoding="utf-8")
    return root
