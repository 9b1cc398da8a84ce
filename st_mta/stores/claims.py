"""What several processes that fill one store are computing right now, so that nothing is computed twice."""

from __future__ import annotations

import glob
import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from st_mta.stores.keys import KeyArray
from st_mta.stores.locks import LOCKS, locked, open_lock, take
from st_mta.stores.writable import usable

logger = logging.getLogger(__name__)

MUTEX_SECONDS = 10.0  # a claim is written in milliseconds; whoever takes longer is stopped
PATIENCE = 600.0
"""Seconds to wait for what another living process claimed. One that died has lost its claims by itself."""
LONGEST_PAUSE = 0.5


@contextmanager
def claimed(room: Path, what: str, keys: KeyArray, wait: bool = False) -> Iterator[npt.NDArray[np.bool_]]:
    """Claims keys (n,) for this block, but for those that another process is computing.

    Look into the store again inside the block: whoever held a key before may have stored it since.

    Args:
        room: Of the store; a folder for locks is made in it.
        what: Whose keys these are, so far as they may be mixed: a scorer, or a scorer and a role.
        keys: What would be computed.
        wait: Comes back only when everything is free, or after ``PATIENCE``.

    Yields:
        (n,) which keys are ours. After a wait all of them.

    Raises:
        InputError: If the folder cannot be written, so that nothing that is computed could be kept.
    """
    end, pause = time.monotonic() + PATIENCE, 0.01
    while True:
        with usable(room):
            free, held = _try(room / LOCKS, what, keys, wait, last=time.monotonic() >= end)
        if held is not None:
            break
        if pause == 0.01:
            logger.info("Another process computes what is needed here: waiting for it.")
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    try:
        yield free
    finally:
        _release(*held)


def _try(
    folder: Path, what: str, keys: KeyArray, everything: bool, last: bool
) -> tuple[npt.NDArray[np.bool_], tuple[Path, int] | None]:
    """Which keys are free, and the claim on them; none was made if all were wanted and some are not free."""
    with locked(folder / f"{what}.claims", MUTEX_SECONDS):
        free = ~np.isin(keys, _claimed_by_others(folder, what))
        if everything and last:
            free[:] = True
        if everything and not free.all():
            return free, None
        path = folder / f"{what}-{uuid.uuid4().hex}.claim"
        descriptor = open_lock(path)
        take(descriptor)
        try:
            os.write(descriptor, keys[free].tobytes())
        except OSError:
            _release(path, descriptor)
            raise
        return free, (path, descriptor)


def _claimed_by_others(folder: Path, what: str) -> KeyArray:
    """The keys of all claims whose processes live; claims of the dead are deleted."""
    found = [np.zeros(0, dtype=np.uint64)]
    for path in folder.glob(f"{glob.escape(what)}-*.claim"):
        with suppress(OSError), open(path, "rb+") as file:
            if take(file.fileno()):
                path.unlink(missing_ok=True)
            else:
                content = file.read()
                found.append(np.frombuffer(content[: len(content) // 8 * 8], dtype=np.uint64))
    return np.concatenate(found)


def _release(path: Path, descriptor: int) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
    os.close(descriptor)
