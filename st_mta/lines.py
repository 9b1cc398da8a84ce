"""Text files as blocks of lines, compressed or not, with errors that name file and line."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm.utils import CallbackIOWrapper

from st_mta.errors import InputError
from st_mta.progress import progress
from st_mta.types import IntArray

# Some million lines: each block is matched with the ids of a whole collection, so blocks should be few.
BLOCK_BYTES = 2**27
BOM = b"\xef\xbb\xbf"


def refuse_no_file(path: Path) -> None:
    """Raises ``InputError`` if nothing can be read there."""
    if not path.exists() or path.is_dir():
        got = "a folder" if path.is_dir() else "no such file"
        raise InputError(expected=f"a file at {path}", got=got, remedy="check the path")


def refuse_line(path: Path, line: int, expected: str, got: str, remedy: str = "correct this line") -> NoReturn:
    """Raises ``InputError`` that names file and line."""
    raise InputError(expected=f"{expected} in {path.name}", got=f"{got} at {path}:{line}", remedy=remedy)


def read_lines(path: Path) -> Iterator[tuple[IntArray, pa.Array]]:
    """The lines of a text file that are not blank, without white space at their end, block by block.

    Yields:
        Line numbers from 1, (n,), and as many strings.

    Raises:
        InputError: If the file cannot be read or is no text in UTF-8; with file and line.
    """
    number = 1
    try:
        with opened(path) as file:
            for block in _blocks(file):
                _check_encoding(path, number, block)
                ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) + 1
                offsets = pa.py_buffer(np.concatenate([[0], ends]))
                lines = pa.LargeStringArray.from_buffers(len(ends), offsets, pa.py_buffer(block))
                lines = pc.ascii_rtrim_whitespace(lines)
                kept = np.flatnonzero(pc.binary_length(lines).to_numpy())
                if len(kept):
                    yield number + kept, lines if len(kept) == len(lines) else lines.take(pa.array(kept))
                number += len(ends)
    except (EOFError, OSError, zlib.error) as error:
        refuse_line(path, number, "a readable file", f"{type(error).__name__} ({error})")


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Whole lines, each with a line feed at its end and no byte order mark at its start."""
    rest = b""
    while chunk := file.read(BLOCK_BYTES):
        end = chunk.rfind(b"\n") + 1
        if end:
            yield _plain(rest + chunk[:end])
        rest = chunk[end:] if end else rest + chunk
    if rest:
        yield _plain(rest + b"\n")


def _plain(block: bytes) -> bytes:
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return re.sub(rb"(?m)^" + BOM, b"", block) if BOM in block else block


def _check_encoding(path: Path, number: int, block: bytes) -> None:
    try:
        block.decode()
        place, got = block.find(b"\0"), "a NUL byte"
    except UnicodeDecodeError as error:
        place, got = error.start, f"other bytes ({error})"
    if place >= 0:
        line = number + block.count(b"\n", 0, place)
        got = "UTF-16" if block.startswith((b"\xff\xfe", b"\xfe\xff")) else got
        refuse_line(path, line, "text in UTF-8", got, "save the file as UTF-8")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, decompressed if gzip wrote it, with a progress bar over the bytes on disk."""
    with progress(f"Reading {path.name}", path.stat().st_size, "bytes") as bar, open(path, "rb") as file:
        counted = cast("BinaryIO", CallbackIOWrapper(bar.update, file, "read"))
        yield cast("BinaryIO", gzip.GzipFile(fileobj=counted)) if file.peek(2).startswith(b"\x1f\x8b") else counted
