"""Batches cut by a budget of tokens: many short texts or few long ones, so that padding and memory stay low."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from st_mta.types import IntArray

# A WordPiece or BPE token of ordinary prose covers some 4 bytes of UTF-8, of a script of 3-byte characters some 3.
BYTES_PER_TOKEN = 3.5
SPECIAL_TOKENS = 3


def estimated_tokens(texts: list[str], max_length: int | None) -> IntArray:
    """Rough numbers of tokens (n,), from lengths in bytes: a tokenizer run costs more than better numbers save."""
    lengths = pc.binary_length(pa.array(texts, type=pa.large_string())).to_numpy()
    tokens: IntArray = (lengths / BYTES_PER_TOKEN).astype(np.int64) + SPECIAL_TOKENS
    return tokens if max_length is None else np.minimum(tokens, max_length)


def token_batches(tokens: IntArray, tokens_per_batch: int, packed: bool = False) -> Iterator[IntArray]:
    """Indices of texts with (n,) tokens, longest first, cut so that a batch stays within the budget.

    A single text that is longer makes a batch of its own.

    Args:
        tokens: (n,).
        tokens_per_batch: The budget.
        packed: Whether a batch costs its tokens, not its rows times the longest of them.
    """
    order = np.argsort(-tokens, kind="stable")
    ends = np.cumsum(tokens[order])
    start = 0
    while start < len(order):
        if packed:
            before = ends[start - 1] if start else 0
            size = int(np.searchsorted(ends, before + tokens_per_batch, side="right")) - start
        else:
            size = int(tokens_per_batch // max(1, tokens[order[start]]))
        yield order[start : start + max(1, size)]
        start += max(1, size)
