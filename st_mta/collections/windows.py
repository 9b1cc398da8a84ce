"""Long documents as windows: what is read, embedded and searched are spans of words, what is judged are documents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from st_mta.atomic import atomic_path
from st_mta.collections.splits import word_spans
from st_mta.errors import InputError
from st_mta.progress import progress
from st_mta.ranges import check_number, count_from
from st_mta.types import Collection, IntArray, Texts, Windows, numbers_within

BLOCK = 4096  # documents read at a time


def with_windows(collection: Collection, words: int = 150, stride: int | None = None, best: int = 1) -> Collection:
    """The collection with windows of its documents as passages.

    MaxP and the sum of the best k (Dai and Callan 2019, section 3): a document scores as the best of its windows, or
    as the sum of its ``best`` ones. Deviation: a title is a part of the first window, it is not put before each.

    Args:
        collection: Its judgements stay those of documents.
        words: Words of a window at most; in scripts without blanks two characters count as a word.
        stride: Words from the beginning of a window to that of the next; half a window by default.
        best: How many windows of a document count.

    Returns:
        The collection, whose corpus holds the windows; their ids are "document#0", "document#1", ...

    Raises:
        InputError: If a number is out of range, the stride is wider than a window, or there are windows already.
    """
    stride = max(1, words // 2) if stride is None else stride
    for name, number in (("words", words), ("stride", stride), ("best", best)):
        check_number(name, number, count_from(1))
    if stride > words or collection.windows is not None:
        raise InputError(
            expected="documents, and a stride of at most a window",
            got=f"stride={stride}, words={words}" if stride > words else f"{collection.name!r}, which is cut already",
            consequence="words between two windows would never be read",
            remedy="choose a smaller stride" if stride > words else "cut the collection as it was read",
        )
    pieces = list(_cut(collection.corpus, words, stride))
    lengths, spans = (np.concatenate([piece[part] for piece in pieces]) for part in (0, 1))
    document = np.repeat(np.arange(len(collection.corpus), dtype=np.int64), lengths)
    ids = zip(collection.corpus.take_ids(document), numbers_within(lengths).tolist())
    texts = pa.chunked_array([piece[2] for piece in pieces], pa.large_string())
    windows = Windows(collection.corpus, document, spans, best)
    counted = "that of its best window" if best == 1 else f"the sum of those of its {best} best windows"
    note = (
        f"The {len(collection.corpus)} documents are read as {len(document)} windows of {words} words at most, "
        f"{stride} apart; the score of a document is {counted}."
    )
    corpus = Texts([f"{document_id}#{number}" for document_id, number in ids], texts)
    return replace(collection, corpus=corpus, windows=windows, notes=(*collection.notes, note))


def write_windows(path: Path, collection: Collection) -> None:
    """Parquet for those who serve the windows: window_id, document_id, and begin and end in the document's text."""
    windows = collection.windows
    assert windows is not None
    table = {
        "window_id": collection.corpus.ids,
        "document_id": windows.documents.take_ids(windows.document),
        "start": windows.spans[:, 0],
        "end": windows.spans[:, 1],
    }
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(table), temporary)


def _cut(documents: Texts, words: int, stride: int) -> Iterator[tuple[IntArray, IntArray, pa.Array]]:
    """Windows per document, begin and end of all windows, and their texts, block by block."""
    with progress("Cutting windows", len(documents), "documents") as bar:
        for start in range(0, max(len(documents), 1), BLOCK):
            texts = documents.take(range(start, min(start + BLOCK, len(documents))))
            spans = [_windows_of(text, words, stride) for text in texts]
            cut = [text[a:b] for text, of in zip(texts, spans) for a, b in of]
            flat = np.asarray([span for of in spans for span in of], dtype=np.int64).reshape(-1, 2)
            yield np.asarray([len(of) for of in spans], dtype=np.int64), flat, pa.array(cut, pa.large_string())
            bar.update(len(texts))


def _windows_of(text: str, words: int, stride: int) -> list[tuple[int, int]]:
    """Begin and end of every window; the last one ends with the text, and an empty text is a window of its own."""
    found = word_spans(text)
    if not found:
        return [(0, len(text))]
    starts = range(0, max(1, len(found) - words + stride), stride)
    return [(found[start][0], found[min(start + words, len(found)) - 1][1]) for start in starts]
