"""The weights of a model: all there when it is loaded, and in fp32 when it is trained."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn
from transformers import modeling_utils

from st_mta.errors import InputError

logger = logging.getLogger(__name__)

Model = TypeVar("Model", bound=nn.Module)
POOLER = "pooler."
"""A head that encoders are often saved without; embeddings do not pass through it, scores of a classifier do."""
REPORT = "log_state_dict_report"
"""Where transformers says what a model was loaded without."""


@contextmanager
def whole_weights(name: str) -> Iterator[None]:
    """Within it, a model of transformers that is loaded without some of its weights is refused.

    Args:
        name: The model's, for messages.

    Raises:
        InputError: If weights are missing or have another shape, apart from heads that no embedding passes through.
    """
    report = getattr(modeling_utils, REPORT, None)
    if report is None:  # a version of transformers that says it elsewhere
        yield
        return

    def refusing(*given: Any, **named: Any) -> None:
        info, has_head = named["loading_info"], not type(named["model"]).__name__.endswith("Model")
        keys = info.missing_keys | {found[0] for found in info.mismatched_keys}
        if missing := sorted(key for key in keys if has_head or POOLER not in key):
            raise InputError(
                expected=f"all weights of {name}",
                got=f"a model in which {len(missing)} are missing or of another shape, the first is {missing[0]!r}",
                consequence="random numbers would take their place",
                remedy="save the model again, or name one that is whole",
            )
        report(*given, **named)

    setattr(modeling_utils, REPORT, refusing)
    try:
        yield
    finally:
        setattr(modeling_utils, REPORT, report)


def in_full_precision(model: Model, name: str = "") -> Model:
    """The model, in place, with weights in fp32, where any that is trained has fewer bits; says so under a name."""
    trained = {weight.dtype for weight in model.parameters() if weight.requires_grad and weight.is_floating_point()}
    if narrow := sorted(str(dtype).removeprefix("torch.") for dtype in trained if torch.finfo(dtype).bits < 32):
        if name:
            logger.warning(
                "%s has weights in %s; it is trained in a copy in fp32, where small steps count.", name, narrow[0]
            )
        model.float()
    return model
