"""The number format in which embeddings lie on disk; they are read as float32 whichever it is."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from st_mta.lookup import check_choice

FORMATS: dict[str, type[np.floating]] = {"fp32": np.float32, "fp16": np.float16}
VARIABLE = "ST_MTA_EMBEDDINGS"
"""The environment variable that says how stores keep embeddings where nobody else does."""


def resolve_format(word: str | None) -> str:
    """The format named, or by ``ST_MTA_EMBEDDINGS``, or fp32.

    Raises:
        InputError: If it is another word than "fp32" and "fp16".
    """
    name, word = ("embeddings", word) if word is not None else (VARIABLE, os.environ.get(VARIABLE) or "fp32")
    check_choice(name, word, FORMATS)
    return word


def in_format(rows: npt.NDArray[np.floating], word: str) -> npt.NDArray[np.floating]:
    """Rows (n, D) as they are stored: in fp32 where fp16 would make infinities of some of them."""
    wanted = FORMATS[word]
    fits = np.abs(rows).max(initial=0) <= np.finfo(wanted).max
    return rows.astype(wanted if fits else np.float32)
