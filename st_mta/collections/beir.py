"""Reads a folder in the layout of BEIR.

    corpus.jsonl         {"_id": ..., "title": ..., "text": ...} on each line
    queries.jsonl        {"_id": ..., "text": ...} on each line
    qrels/<split>.tsv    a header, then query id, passage id and grade, separated by tabs

Each file may be compressed (``corpus.jsonl.gz``); ``queries.jsonl``, ``qrels`` and titles may be missing.
"""

from __future__ import annotations

from pathlib import Path

from st_mta.collections.assemble import SPLIT_NAMES, Judgements, assemble, joined_texts
from st_mta.collections.files import read_records
from st_mta.errors import InputError
from st_mta.trec import qrels_table
from st_mta.types import Collection, Texts


def read_beir(folder: str | Path) -> Collection:
    """Reads a collection from a folder in the layout of BEIR.

    Titles are joined to their texts as BEIR does it. The split "validation" is called "dev" here.

    Args:
        folder: The folder that holds ``corpus.jsonl``.

    Returns:
        The collection, named after the folder. Queries that occur in no qrels file are its unlabelled queries.

    Raises:
        InputError: If folder or corpus is missing, a line cannot be read, an id occurs twice, or a judgement is
            malformed or names an unknown id; with file and line.
    """
    folder = Path(folder)
    corpus = read_records(_corpus_file(folder))
    queries_file = _plain_or_gz(folder / "queries.jsonl")
    queries = read_records(queries_file) if queries_file else None
    return assemble(
        name=folder.resolve().name,
        corpus=Texts(corpus["_id"], joined_texts(corpus["title"], corpus["text"])),
        queries=Texts(queries["_id"], queries["text"]) if queries else Texts([], []),
        judgements={split: _judgements(path) for split, path in _qrels_files(folder).items()},
    )


def _corpus_file(folder: Path) -> Path:
    path = _plain_or_gz(folder / "corpus.jsonl")
    if path is None:
        raise InputError(
            expected=f"a file corpus.jsonl or corpus.jsonl.gz in {folder}",
            got="no such file" if folder.is_dir() else "no such folder",
            consequence="there would be nothing to retrieve",
            remedy="name the folder that directly holds corpus.jsonl, queries.jsonl and qrels/",
        )
    return path


def _plain_or_gz(path: Path) -> Path | None:
    candidates = (path, path.with_name(path.name + ".gz"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _qrels_files(folder: Path) -> dict[str, Path]:
    """Split name -> file; train first, then dev, test and all others by name."""
    files: dict[str, Path] = {}
    for path in sorted((folder / "qrels").glob("*.tsv*")):
        if path.name.endswith((".tsv", ".tsv.gz")):
            split = path.name.partition(".")[0]
            files.setdefault(SPLIT_NAMES.get(split, split), path)
    first = ("train", "dev", "test")
    return {split: files[split] for split in sorted(files, key=lambda split: (split not in first, _rank(split)))}


def _rank(split: str) -> str:
    return {"train": "0", "dev": "1", "test": "2"}.get(split, split)


def _judgements(path: Path) -> Judgements:
    rows = qrels_table(path)
    return Judgements(rows["query"], rows["passage"], rows["grade"], place=lambda row: f"{path}:{rows['line'][row]}")
