"""What a map is fitted from: the teachers' embeddings of texts beside those of the student as it is now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from datasets import IterableDataset

from st_mta.errors import InputError
from st_mta.losses.embedding.labelling import refuse_missing
from st_mta.losses.embedding.teachers import encode_in
from st_mta.procrustes import Moments, unit
from st_mta.progress import progress
from st_mta.stores.embeddings import Embeddings, Role
from st_mta.types import FloatArray, IntArray, Texts

BLOCK = 1024  # texts that the student encodes at a time
MOST_TEXTS = 50_000  # many times any width
MOST_STREAMED = 10_000  # rows of a stream that are read ahead

Source = tuple[Role, int, Callable[[IntArray], Sequence[str]], Callable[[IntArray], FloatArray]]
"""A role, how many texts there are in it, and from positions (n,) to texts and to targets (n, D)."""


def moments_of(student: Any, sources: Sequence[Source]) -> Moments:
    """Sums over at most ``MOST_TEXTS`` of the texts, evenly spaced; the student's embeddings get length 1.

    Args:
        student: The model, which encodes each role with its own prompt.
        sources: Texts with targets, one part per role.
    """
    step = max(1, -(-sum(size for _, size, *_ in sources) // MOST_TEXTS))
    moments = Moments()
    with progress(
        "Fitting the map to the student", sum(len(range(0, size, step)) for _, size, *_ in sources), "texts"
    ) as bar:
        for role, size, texts, targets in sources:
            chosen = np.arange(0, size, step, dtype=np.int64)
            for start in range(0, len(chosen), BLOCK):
                block = chosen[start : start + BLOCK]
                moments.add(targets(block), unit(encode_in(student, list(texts(block)), role)))
                bar.update(len(block))
    return moments


def given(texts: Sequence[str], embeddings: FloatArray, role: Role) -> Source:
    """Texts with targets that are at hand.

    Raises:
        InputError: Unless there is one target per text.
    """
    embeddings = np.asarray(embeddings, dtype=np.float32)
    if embeddings.ndim != 2 or len(embeddings) != len(texts):
        raise InputError(
            expected=f"embeddings ({len(texts)}, D), one for each text",
            got=f"shape {embeddings.shape}",
            remedy="give the teacher's embeddings of the same texts in the same order",
        )
    return role, len(texts), lambda at: [texts[place] for place in at], lambda at: embeddings[at]


def stored(
    role: Role, texts: Texts, embeddings: Sequence[Embeddings], fuse: Callable[[list[FloatArray]], FloatArray]
) -> Source:
    """All texts of a table, with the teachers' stored embeddings of them."""
    return role, len(texts), texts.take, lambda at: fuse([one.rows(at) for one in embeddings])


def read_ahead(
    dataset: IterableDataset, roles: dict[str, Role], encode: Callable[[list[str], Role], FloatArray]
) -> list[Source]:
    """The distinct texts of a stream's first rows, encoded now.

    Raises:
        InputError: If one is missing.
    """
    rows = list(islice(dataset, MOST_STREAMED))
    sources = []
    for role in dict.fromkeys(roles.values()):
        columns = [column for column in roles if roles[column] == role]
        found = [row.get(column) for row in rows for column in columns]
        refuse_missing(columns, found.count(None))
        texts = sorted(set(found))
        sources.append(given(texts, encode(texts, role), role))
    return sources
