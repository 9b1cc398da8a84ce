"""Keeps a store small: what was not used for long goes first, what a running process uses stays."""

from __future__ import annotations

import time
from collections.abc import Container, Sequence
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
    """What an eviction did, or would do.

    Attributes:
        removed: Scorers whose files are gone, in this order.
        in_use: Scorers that had to go too and stay, because a running process uses them.
        num_bytes: What the store holds then.
        deleted: Bytes freed, leftovers of killed processes included, and what could not be deleted.
    """

    removed: list[StoredScorer] = field(default_factory=list)
    in_use: list[StoredScorer] = field(default_factory=list)
    num_bytes: int = 0
    deleted: Deleted = field(default_factory=Deleted)


def evict(
    folder: Path,
    scorers: Sequence[StoredScorer],
    max_bytes: int | None,
    older_than: float | None,
    *,
    only: Container[str] | None = None,
    dry_run: bool = False,
) -> Eviction:
    """Deletes whole scorers, the one that was used least recently first.

    Args:
        folder: The store.
        scorers: What it holds.
        max_bytes: Goes on until the store is no larger.
        older_than: Deletes what was not used for so many seconds.
        only: Deletes these fingerprints instead, whatever their size and age.
        dry_run: Whether to say only what would be done.
    """
    done = Eviction(deleted=delete_spilled(folder, dry_run=dry_run))
    for fingerprint in fingerprints(folder):
        done.deleted += delete_leftovers(folder, fingerprint, dry_run=dry_run)
    left = size_of(folder) - (done.deleted.freed if dry_run else 0)
    for scorer in sorted(scorers, key=lambda scorer: scorer.last_used):
        too_old = older_than is not None and time.time() - scorer.last_used > older_than
        too_large = max_bytes is not None and left > max_bytes
        if not (too_old or too_large if only is None else scorer.fingerprint in only):
            continue
        if _is_used(folder, scorer.fingerprint):
            done.in_use.append(scorer)
            continue
        freed = _without_leftovers(folder, scorer) if dry_run else delete_scorer(folder, scorer.fingerprint)
        done.deleted += freed
        left -= freed.freed
        done.removed.append(scorer)
    done.num_bytes = left if dry_run else size_of(folder)
    return done


def _without_leftovers(folder: Path, scorer: StoredScorer) -> Deleted:
    """What would be freed of a scorer after its leftovers."""
    all_of_it = delete_scorer(folder, scorer.fingerprint, dry_run=True)
    leftovers = delete_leftovers(folder, scorer.fingerprint, dry_run=True)
    return Deleted(freed=all_of_it.freed - leftovers.freed)


def size_of(folder: Path) -> int:
    """Bytes of all files of a store."""
    files = [file for fingerprint in fingerprints(folder) for file in files_of(folder, fingerprint)]
    return sum(file.size for file in [*files, *spilled(folder)])


def _is_used(folder: Path, fingerprint: str) -> bool:
    with unused(folder / "scorers", fingerprint) as free:
        return not free
