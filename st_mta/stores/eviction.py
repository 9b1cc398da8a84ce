"""Keeps a store small: what was not used for long goes first, what a running process uses stays."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from st_mta.stores.clearing import Deleted, delete_leftovers, delete_scorer, delete_spilled
from st_mta.stores.layout import files_of, fingerprints, spilled
from st_mta.stores.uses import unused

if TYPE_CHECKING:
    from st_mta.stores.store import StoredScorer


@dataclass
class Eviction:
    """What an eviction did.

    Attributes:
        removed: Scorers whose files are gone, in this order.
        in_use: Scorers that had to go too and stay, because a running process uses them.
        num_bytes: What the store holds now.
        deleted: Bytes freed, leftovers of killed processes included, and what could not be deleted.
    """

    removed: list[StoredScorer] = field(default_factory=list)
    in_use: list[StoredScorer] = field(default_factory=list)
    num_bytes: int = 0
    deleted: Deleted = field(default_factory=Deleted)


def evict(folder: Path, scorers: Sequence[StoredScorer], max_bytes: int | None, older_than: float | None) -> Eviction:
    """Deletes whole scorers, the one that was used least recently first.

    Args:
        folder: The store.
        scorers: What it holds.
        max_bytes: Goes on until the store is no larger.
        older_than: Deletes what was not used for so many seconds.
    """
    done = Eviction(deleted=delete_spilled(folder))
    for fingerprint in fingerprints(folder):
        done.deleted += delete_leftovers(folder, fingerprint)
    for scorer in sorted(scorers, key=lambda scorer: scorer.last_used):
        too_old = older_than is not None and time.time() - scorer.last_used > older_than
        if not too_old and (max_bytes is None or size_of(folder) <= max_bytes):
            continue
        if _is_used(folder, scorer.fingerprint):
            done.in_use.append(scorer)
        else:
            done.deleted += delete_scorer(folder, scorer.fingerprint)
            done.removed.append(scorer)
    done.num_bytes = size_of(folder)
    return done


def size_of(folder: Path) -> int:
    """Bytes of all files of a store."""
    files = [file for fingerprint in fingerprints(folder) for file in files_of(folder, fingerprint)]
    return sum(file.size for file in [*files, *spilled(folder)])


def _is_used(folder: Path, fingerprint: str) -> bool:
    with unused(folder / "scorers", fingerprint) as free:
        return not free
