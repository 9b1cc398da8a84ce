"""Pairs that are too long for a language model with its prompt: the document is shortened first, then the query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sentence_transformers import CrossEncoder

from st_mta.scorers.lengths import longest_input
from st_mta.types import IntArray

Pair = tuple[str, str]

UNCUT = 2**31 - 1
"""A length in tokens that no text has; the tokenizer warns where it is given none."""
ROUNDS = 8
"""Times that texts are cut: tokens at a cut may join or fall apart, and a few more are then too many."""


def fit_pairs(
    pairs: Sequence[Pair], lengths: Callable[[list[Pair]], IntArray], tokenizer: Any, limit: int
) -> list[Pair]:
    """Pairs whose prompts are at most ``limit`` tokens long, wherever the prompt has query and document.

    The query stays whole as long as it leaves the document half of the room: with less than that of the passage,
    candidates would be judged by next to nothing. What the prompt itself says stays; where it alone is too long,
    so does the pair.

    Args:
        pairs: Queries with documents.
        lengths: Tokens of the whole prompts of pairs, uncut.
        tokenizer: Of transformers.
        limit: In tokens.
    """
    pairs = list(pairs)
    over = np.arange(len(pairs))
    for _ in range(ROUNDS):
        excess = lengths([pairs[index] for index in over]) - limit
        over, excess = over[excess > 0], excess[excess > 0]
        if not len(over):
            break
        chosen = [pairs[index] for index in over]
        shortened = _shortened(chosen, excess, tokenizer)
        if shortened == chosen:
            break
        for index, shorter in zip(over, shortened):
            pairs[index] = shorter
    return pairs


def fit_to_model(model: CrossEncoder, pairs: Sequence[Pair], template_tokens: int) -> list[Pair]:
    """As [`fit_pairs`], for a language model of the host, which asks by its chat template.

    Args:
        model: The cross-encoder.
        pairs: Queries with documents.
        template_tokens: What the template takes.
    """
    limit = longest_input(model)
    pairs = list(pairs)
    if limit is None or all(_bytes(pair) + template_tokens <= limit for pair in pairs):
        return pairs
    return fit_pairs(pairs, lambda some: _lengths(model, some), model.tokenizer, limit)


def _bytes(pair: Pair) -> int:
    """No text has more tokens than bytes."""
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in pair)


def _lengths(model: CrossEncoder, pairs: list[Pair]) -> IntArray:
    """(P,) tokens of the prompts of pairs; the host gives them padded, or one behind the other."""
    limit = model.max_seq_length
    if not pairs:
        return np.zeros(0, dtype=np.int64)
    try:
        model.max_seq_length = UNCUT
        features = model.preprocess(pairs, prompt=model.prompts.get(model.default_prompt_name or ""))
    finally:
        model.max_seq_length = limit
    if "attention_mask" in features:
        return np.asarray(features["attention_mask"].sum(dim=1), dtype=np.int64)
    ends = np.asarray(features["cu_seq_lens_q"], dtype=np.int64)
    return ends[1:] - ends[:-1]


def _shortened(pairs: list[Pair], excess: IntArray, tokenizer: Any) -> list[Pair]:
    """Pairs without as many of their last tokens as are too many."""
    columns = [_ends([pair[side] for pair in pairs], tokenizer) for side in (0, 1)]
    queries, documents = (np.array([len(ends) for ends in column], dtype=np.int64) for column in columns)
    room = np.maximum(0, queries + documents - excess)
    of_documents = np.maximum(room - queries, np.minimum(documents, room // 2))
    kept = zip(zip(*columns), room - of_documents, of_documents)
    return [
        (_until(pair[0], ends[0], of_query), _until(pair[1], ends[1], of_document)) if of_query + of_document else pair
        for pair, (ends, of_query, of_document) in zip(pairs, kept)
    ]


def _ends(texts: list[str], tokenizer: Any) -> list[list[int]]:
    """Where each token of each text ends, in characters."""
    fast = bool(tokenizer.is_fast)
    options = {"add_special_tokens": False, "truncation": True, "max_length": UNCUT, "return_offsets_mapping": fast}
    found = tokenizer(texts, **options)
    if fast:
        return [[end for _, end in row] for row in found["offset_mapping"]]
    return [  # about there
        [len(text) * (place + 1) // len(row) for place in range(len(row))]
        for text, row in zip(texts, found["input_ids"])
    ]


def _until(text: str, ends: list[int], count: int) -> str:
    if count >= len(ends):
        return text
    return text[: ends[count - 1]] if count > 0 else ""
