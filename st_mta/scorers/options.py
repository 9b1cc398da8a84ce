"""How the scorers of a run are loaded, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.stores import Store


@dataclass(frozen=True)
class ScorerOptions:
    """What scorers that are loaded together have in common.

    Attributes:
        store: Where scores and embeddings are kept; None keeps them no longer than the scorer lives.
        precision: "auto", "fp32" or "bf16" (see [`st_mta.precision`]).
        device: Where models run, None for what the machine offers.
        max_length: Longest text in tokens, None for each model's own.
    """

    store: Store | None = None
    precision: str = "auto"
    device: str | None = None
    max_length: int | None = None
