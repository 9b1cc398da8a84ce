"""Scorers and what they are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from st_mta.types import Scorer


def with_parts(scorers: Iterable[Scorer]) -> Iterator[Scorer]:
    """The scorers, the parts of fused and joined ones, and those that read a view."""
    for scorer in scorers:
        yield scorer
        inner = [*getattr(scorer, "parts", ()), *filter(None, [getattr(scorer, "scorer", None)])]
        yield from with_parts(one for one in inner if isinstance(one, Scorer))
