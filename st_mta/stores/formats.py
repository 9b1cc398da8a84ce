"""The number format in which embeddings lie on disk; they are read as float32 whichever it is."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from st_mta.lookup import check_choice

FORMATS: dict[str, type[np.floating]] = {"fp32": np.float32, "fp16": np.float16}
VARIABLE = "ST_MTA_EMBEDDINGS"
"""The environment variable that says how stores keep embeddings where nobody else does."""


ROUNDING = 2**-10
"""Of fp16, relative to the length of an embedding: above it, numbers lie outside what it can say."""


def resolve_format(word: str | None) -> str:
    """The format named, or by ``ST_MTA_EMBEDDINGS``, or fp32.

    Raises:
        InputError: If it is another word than "fp32" and "fp16".
    """
    name, word = ("embeddings", word) if word is not None else (VARIABLE, os.environ.get(VARIABLE) or "fp32")
    check_choice(name, word, FORMATS)
    return word


def in_format(rows: npt.NDArray[np.floating], word: str) -> npt.NDArray[np.floating]:
    """Rows (n, D) as they are stored: in fp32 where fp16 would make infinities or zeros of some of them."""
    wanted = FORMATS[word]
    if wanted is np.float32 or np.abs(rows).max(initial=0) > np.finfo(wanted).max:
        return rows.astype(np.float32)
    halved = rows.astype(wanted)
    error = np.linalg.norm(halved.astype(np.float32) - rows, axis=1)
    return halved if (error <= ROUNDING * np.linalg.norm(rows, axis=1)).all() else rows.astype(np.float32)
