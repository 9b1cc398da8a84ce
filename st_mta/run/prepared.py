"""What every process of a run does for itself before they work together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from st_mta.errors import InputError
from st_mta.processes import processes

Result = TypeVar("Result")


def prepared(work: Callable[[], Result]) -> Result:
    """The result of work that every process does for itself; where one of them fails, none goes on.

    Args:
        work: Loads and checks; it exchanges nothing with other processes, which might have failed.

    Raises:
        Exception: What this process failed with. Where the first to fail was another, ``InputError``, marked as said
            there.
    """
    team = processes()
    if team.size == 1:
        return work()
    failure: Exception | None = None
    try:
        result = work()
    except Exception as error:
        failure = error
    failed = np.zeros(team.size)
    failed[team.rank] = failure is not None
    ranks = np.flatnonzero(team.sum(failed)).tolist()
    if not ranks:
        return result
    if failure is None or team.rank != ranks[0]:
        failure = InputError(
            expected=f"all {team.size} processes to load and check their inputs",
            got=f"rank {ranks[0]}, which could not",
            remedy="see what that process printed",
        )
        failure.said_elsewhere = True  # type: ignore[attr-defined]
    raise failure
