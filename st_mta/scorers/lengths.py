"""The longest input of a host model: what its positions reach, whatever its tokenizer or the user says."""

from __future__ import annotations

import logging
import math
import re
from typing import Any

from torch import nn

from st_mta.errors import InputError

logger = logging.getLogger(__name__)

ENDLESS = 2**31
"""From here on a length is none: tokenizers without a limit say 10^30, static embeddings infinity."""
POSITIONS = re.compile(r"(^|\.)(position_embeddings?|embed_positions|wpe)$")
"""Names of tables with one row per position; models with relative or rotary positions have none."""


def longest_input(model: Any) -> int | None:
    """The longest input of a model in tokens, None where it has no limit.

    Args:
        model: A ``SentenceTransformer``, ``CrossEncoder`` or ``MultiVectorEncoder``.
    """
    own = model.max_seq_length
    limits = [int(own)] if own is not None and own < ENDLESS else []
    return min([*limits, *_rows_of_positions(model)], default=None)


def usable_length(model: Any, max_length: int | None, name: str) -> int | None:
    """The length that a user asks for, as far as the model's positions reach; None for the model's own.

    Args:
        model: As for [`longest_input`].
        max_length: In tokens.
        name: The model's, for messages.

    Raises:
        InputError: If nothing of a text would be left between the special tokens.
    """
    if max_length is None:
        return None
    _refuse_too_short(model, max_length, name)
    reached = min(_rows_of_positions(model), default=max_length)
    if reached < max_length:
        logger.warning("%s reads %d tokens at most; max_length=%d is more.", name, reached, max_length)
    return min(reached, max_length)


def limit_length(model: Any, max_length: int | None = None) -> None:
    """Sets the longest input of a model; never to more than its positions reach.

    Args:
        model: As for [`longest_input`]; static embeddings, which cost the same at any length, have none to set.
        max_length: As [`usable_length`] gives it.
    """
    own = model.max_seq_length
    if own is not None and math.isinf(own):
        return
    wanted = [length for length in (own if max_length is None else max_length,) if length is not None]
    limit = min([*wanted, *_rows_of_positions(model)], default=None)
    if limit is not None and limit != own:
        model.max_seq_length = limit


def _rows_of_positions(model: nn.Module) -> list[int]:
    """Positions that each table of them can tell apart; the first rows of some are kept for padding."""
    tables = [
        module for name, module in model.named_modules() if isinstance(module, nn.Embedding) and POSITIONS.search(name)
    ]
    return [table.num_embeddings - _unused_rows(table) for table in tables]


def _unused_rows(table: nn.Embedding) -> int:
    if table.padding_idx is not None:
        return table.padding_idx + 1
    return int(getattr(table, "offset", 0))


def _refuse_too_short(model: Any, max_length: int, name: str) -> None:
    count = getattr(getattr(model, "tokenizer", None), "num_special_tokens_to_add", None)
    # Static embeddings (of infinite length) read no special tokens.
    special = 0 if count is None or math.isinf(model.max_seq_length or 0) else int(count(False))
    if max_length <= special:
        raise InputError(
            expected=f"max_length of at least {special + 1} tokens" if special else "max_length of at least 1 token",
            got=str(max_length),
            consequence=f"nothing of a text would be left beside the {special} special tokens of {name}",
            remedy="leave it out for the model's own length",
        )
