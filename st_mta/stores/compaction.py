"""Many small parts become few large ones, because every look-up opens each part."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from st_mta.errors import InputError
from st_mta.stores.locks import locked
from st_mta.stores.parts import listed, signature_of

logger = logging.getLogger(__name__)

MOST_SMALL = 64
Merge = Callable[[list[Path]], Iterator[list[Path]]]


def compact(folder: Path, lock: Path, suffix: str, small: int, merge: Merge, beside: tuple[str, ...] = ()) -> None:
    """Merges the small parts of a folder once there are ``MOST_SMALL`` of them.

    Merged parts stand before the old ones are deleted: a kill in between leaves rows that stand twice, which does no
    harm. Readers look again when a part is gone. Only one process merges, and a store that can only be read is
    left as it is.

    Args:
        folder: Holds the parts.
        lock: A lock file, which is made.
        suffix: Of the parts counted and handed to ``merge``.
        small: Bytes below which a part is small.
        merge: Writes some parts anew and gives those that this made superfluous, group by group.
        beside: Suffixes of the files that belong to each part, deleted after it.
    """
    if len(_small(folder, suffix, small)) < MOST_SMALL:
        return
    try:
        with locked(lock) as alone:
            if alone and len(parts := _small(folder, suffix, small)) >= MOST_SMALL:
                for merged in merge(parts):
                    _delete(merged, suffix, beside)
    except (OSError, InputError) as error:
        logger.debug("The parts of %s stay as they are: %s", folder, error)


def _small(folder: Path, suffix: str, small: int) -> list[Path]:
    entries = listed(folder, suffix)
    if len(entries) < MOST_SMALL:
        return []
    return [Path(entry.path) for entry in entries if _size(entry.path) < small]


def _size(path: str) -> int:
    try:
        return signature_of(Path(path))[1]
    except FileNotFoundError:
        return 0


def _delete(parts: list[Path], suffix: str, beside: tuple[str, ...]) -> None:
    for part in parts:
        part.unlink(missing_ok=True)
        for other in beside:
            part.with_name(part.name.removesuffix(suffix) + other).unlink(missing_ok=True)
