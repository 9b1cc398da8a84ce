"""Reads a folder in the layout of BEIR.

    corpus.jsonl         {"_id": ..., "title": ..., "text": ...} on each line
    queries.jsonl        {"_id": ..., "text": ...} on each line
    qrels/<split>.tsv    a header, then query id, passage id and grade, separated by tabs

Each file may be compressed (``corpus.jsonl.gz``); ``queries.jsonl``, ``qrels`` and titles may be missing.
"""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from st_mta.collections.assemble import SPLIT_NAMES, Judgements, assemble, joined_texts
from st_mta.errors import InputError
from st_mta.lines import opened, read_lines, refuse_line
from st_mta.trec import qrels_table
from st_mta.types import Collection, Texts

RECORD = pa.schema([("_id", pa.string()), ("title", pa.string()), ("text", pa.string())])
BLOCK_BYTES = 1 << 24  # Arrow reads blocks of 16 MiB in parallel; a line must fit into one


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
    corpus_file, queries_file = (_plain_or_gz(folder / f"{name}.jsonl") for name in ("corpus", "queries"))
    if corpus_file is None:
        raise InputError(
            expected=f"a file corpus.jsonl or corpus.jsonl.gz in {folder}",
            got="no such file" if folder.is_dir() else "no such folder",
            remedy="name the folder that directly holds corpus.jsonl, queries.jsonl and qrels/",
        )
    corpus = _read_records(corpus_file)
    queries = _read_records(queries_file) if queries_file else None
    return assemble(
        name=folder.resolve().name,
        corpus=Texts(corpus["_id"], joined_texts(corpus["title"], corpus["text"])),
        queries=Texts(queries["_id"], queries["text"]) if queries else Texts([], []),
        judgements={split: _judgements(path) for split, path in _qrels_files(folder).items()},
    )


def _plain_or_gz(path: Path) -> Path | None:
    return next((file for file in (path, path.with_name(path.name + ".gz")) if file.is_file()), None)


def _qrels_files(folder: Path) -> dict[str, Path]:
    """Split name -> file; train first, then dev, test and all others by name."""
    files: dict[str, Path] = {}
    for path in sorted((folder / "qrels").glob("*.tsv*")):
        if path.name.endswith((".tsv", ".tsv.gz")):
            split = path.name.partition(".")[0]
            files.setdefault(SPLIT_NAMES.get(split, split), path)
    order = dict.fromkeys(("train", "dev", "test", *sorted(files)))
    return {split: files[split] for split in order if split in files}


def _judgements(path: Path) -> Judgements:
    rows = qrels_table(path)
    return Judgements(rows["query"], rows["passage"], rows["grade"], place=lambda row: f"{path}:{rows['line'][row]}")


def _read_records(path: Path) -> pa.Table:
    """Reads the columns ``_id``, ``title`` (may be null) and ``text`` of a JSON lines file, compressed or not.

    Raises:
        InputError: If a line is no JSON object, lacks ``_id`` or ``text``, or repeats an id; with its line number.
    """
    options = pa.json.ParseOptions(explicit_schema=RECORD, unexpected_field_behavior="ignore")
    try:
        with opened(path) as file:
            table = pa.json.read_json(file, pa.json.ReadOptions(block_size=BLOCK_BYTES), options)
        table.validate(full=True)
    except (pa.ArrowException, EOFError, OSError):
        return _read_line_by_line(path)
    ids = table["_id"]
    faulty = ids.null_count or table["text"].null_count or pc.count_distinct(ids).as_py() != len(ids)
    return _read_line_by_line(path) if faulty else table


def _read_line_by_line(path: Path) -> pa.Table:
    """The same table, made line by line; this is where a wrong line gets its error."""
    first_line: dict[str, int] = {}
    titles: list[str | None] = []
    texts: list[str] = []
    blocks = read_lines(path)
    for number, line in chain.from_iterable(zip(numbers.tolist(), lines.to_pylist()) for numbers, lines in blocks):
        record = _parse_record(line, path, number)
        title, record_id = record.get("title"), str(record["_id"])
        if record_id in first_line:
            refuse_line(path, number, "unique ids", f"the id {record_id!r} of line {first_line[record_id]} again")
        first_line[record_id] = number
        titles.append(title if isinstance(title, str) else None)
        texts.append(record["text"])
    return pa.table({"_id": list(first_line), "title": titles, "text": texts}, schema=RECORD)


def _parse_record(line: str, path: Path, number: int) -> dict[str, str]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        refuse_line(path, number, "one JSON object on each line", f"text that is no JSON ({error})")
    if not isinstance(record, dict):
        refuse_line(path, number, "one JSON object on each line", f"a {type(record).__name__}")
    for key, kinds in (("_id", (str, int)), ("text", (str,))):
        if not isinstance(record.get(key), kinds) or isinstance(record[key], bool):
            found = f"{record[key]!r}" if key in record else f"only the keys {sorted(record)}"
            refuse_line(path, number, f'a key "{key}" with a string', found)
    try:
        f"{record['_id']}{record.get('title')}{record['text']}".encode()
    except UnicodeEncodeError as error:
        refuse_line(path, number, "text in Unicode", f"half a character ({error})")
    return cast("dict[str, str]", record)
