"""Unlabelled text of any amount, beside a collection: files of texts, or a dataset of the Hub."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from st_mta.errors import InputError, loading
from st_mta.types import Texts

READERS = {
    ".txt": "text",
    ".jsonl": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
"""The host's reader by ending, which may be followed by ".gz"."""
COLUMNS = ("text", "content", "contents", "passage", "document", "sentence", "body")
"""Names of the column of texts, the first that there is; else the only column of texts."""


def load_texts(source: str | Path) -> Texts:
    """Reads texts without labels into a memory-mapped table; blank ones are left out.

    Args:
        source: A file or a folder of files (``.txt`` with one text per line, ``.jsonl``, ``.csv`` or ``.parquet``
            with a column of texts, also packed as ``.gz``), a folder saved by ``Dataset.save_to_disk``, or the id of
            a dataset of the Hub, whose train split is taken ("me/texts", or "me/texts#configuration").

    Returns:
        The texts in their order; their ids are numbers.

    Raises:
        InputError: If nothing can be read, or it is unclear which column holds the texts.
    """
    dataset = _read(str(source))
    column = _column(dataset, source)
    texts = dataset.with_format("arrow")[:][column]
    texts = texts.filter(pc.and_(pc.is_valid(texts), pc.match_substring_regex(texts, r"\S")))
    if not len(texts):
        raise InputError(
            expected=f"texts in {source}", got="none that is not blank", remedy="name files that hold text"
        )
    return numbered([texts])


def numbered(columns: Iterable[pa.ChunkedArray]) -> Texts:
    """One table of several columns of texts after each other, with numbers as ids; no text is copied."""
    chunks = [chunk.cast(pa.large_string()) for column in columns for chunk in column.chunks]
    texts = pa.chunked_array(chunks, type=pa.large_string())
    return Texts(pa.chunked_array([pc.cast(pa.array(range(len(texts)), pa.int64()), pa.large_string())]), texts)


def _read(source: str) -> datasets.Dataset:
    path = Path(source).expanduser()
    expected = "texts: a file, a folder of files, or the id of a dataset of the Hub"
    remedy = "check the spelling, the path and the network"
    if path.is_dir() and (path / "state.json").exists():
        with loading(expected, source, remedy):
            return datasets.load_from_disk(str(path))
    if path.exists():
        files = sorted(file for file in path.rglob("*") if _ending(file)) if path.is_dir() else [path]
        with loading(expected, source, remedy):
            return _read_files(files, source)
    name, _, configuration = source.partition("#")
    with loading(expected, source, remedy):
        return datasets.load_dataset(name, configuration or None, split="train")


def _read_files(files: list[Path], source: str) -> datasets.Dataset:
    endings = {_ending(file) for file in files}
    if len(endings) != 1 or None in endings:
        raise InputError(
            expected=f"files of one kind in {source}: {', '.join(READERS)}",
            got=", ".join(sorted(str(ending) for ending in endings)) or "no such file",
            remedy="give each kind a folder of its own, or write the texts line by line into a .txt",
        )
    (ending,) = endings
    options = {"delimiter": "\t"} if ending == ".tsv" else {}
    return datasets.load_dataset(
        READERS[str(ending)], data_files=[str(file) for file in files], split="train", **options
    )


def _ending(file: Path) -> str | None:
    name = file.name.lower().removesuffix(".gz")
    hidden = file.name.startswith(".")
    return next((ending for ending in READERS if name.endswith(ending) and not hidden), None)


def _column(dataset: datasets.Dataset, source: str | Path) -> str:
    of_text = [
        name for name, kind in dataset.features.items() if getattr(kind, "dtype", "") in ("string", "large_string")
    ]
    named = next((name for name in COLUMNS if name in of_text), None)
    if named is None and len(of_text) != 1:
        raise InputError(
            expected=f"a column {COLUMNS[0]!r} in {source}",
            got=", ".join(dataset.column_names) or "no columns",
            remedy="rename the column that holds the texts",
        )
    return named or of_text[0]
