"""Reads a folder in the layout of BEIR.

    corpus.jsonl         {"_id": ..., "title": ..., "text": ...} on each line
    queries.jsonl        {"_id": ..., "text": ...} on each line
    qrels/<split>.tsv    a header, then query id, passage id and grade, separated by tabs

Each file may be compressed (``corpus.jsonl.gz``); ``queries.jsonl``, ``qrels`` and titles may be missing. Other forms
of judgements and other key names in use are read too (see ``trec.qrels_table``, ``layout`` and ``records``).
"""

from __future__ import annotations

from pathlib import Path

from st_mta.collections.assemble import Judgements, assemble, joined_texts
from st_mta.collections.layout import layout_of
from st_mta.collections.records import RECORD, read_records
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
        InputError: If folder or corpus is missing, a line cannot be read, an id occurs twice, a judgement is
            malformed, or labels lie where they would be ignored; with file and line.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            expected=f"a folder with a file corpus.jsonl or corpus.jsonl.gz at {folder}",
            got="a file" if folder.exists() else "no such folder",
            remedy="name the folder that directly holds corpus.jsonl, queries.jsonl and qrels/",
        )
    layout = layout_of(folder)
    corpus, *notes = read_records(layout.corpus)
    queries, note = read_records(layout.queries, queries=True) if layout.queries else (RECORD.empty_table(), "")
    judgements = {split: _judgements(path, folder) for split, path in layout.qrels.items()}
    empty = [f"{layout.qrels[split].name} has no judgements." for split, rows in judgements.items() if not len(rows)]
    return assemble(
        name=folder.resolve().name,
        corpus=Texts(corpus["_id"], joined_texts(corpus["title"], corpus["text"])),
        queries=Texts(queries["_id"], queries["text"]),
        judgements=judgements,
        notes=[said for said in (*layout.notes, *notes, note, *empty) if said],
    )


def _judgements(path: Path, folder: Path) -> Judgements:
    rows, name = qrels_table(path), path.relative_to(folder)
    return Judgements(rows["query"], rows["passage"], rows["grade"], place=lambda row: f"{name}:{rows['line'][row]}")
