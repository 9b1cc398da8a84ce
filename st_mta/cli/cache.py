"""Lists, clears or shrinks stored scores and embeddings.

Example:
  st-mta cache --max-size 20GB --older-than 30d
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from st_mta.cli.show import PlainConsole, readable_size, wide_console
from st_mta.errors import InputError
from st_mta.options import option
from st_mta.recipes.options import Stored
from st_mta.report import console_table
from st_mta.run.folder import RunFolder
from st_mta.stores import Store, StoredScorer
from st_mta.stores.clearing import Deleted
from st_mta.stores.eviction import Eviction

SIZES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
AGES = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}


@dataclass(frozen=True, kw_only=True)
class Config(Stored):
    """Options of ``st-mta cache``."""

    clear: str | None = option(
        None, help="Delete what this scorer stored: the beginning of its fingerprint in the list, or all."
    )
    max_size: str | None = option(
        None, help="Delete what was used least recently until the store is no larger, such as 20GB."
    )
    older_than: str | None = option(None, help="Delete what was not used for so long, such as 30d or 12h.")
    run: str | None = option(
        None, help="Delete what is stored, here and there, of the students of this output folder that lost."
    )
    dry_run: bool = option(False, help="Say what would be deleted, and delete nothing.")

    def __post_init__(self) -> None:
        chosen = [self.clear is not None, (self.max_size, self.older_than) != (None, None), self.run is not None]
        if sum(chosen) > 1:
            raise InputError(
                expected="--clear alone, --run alone, or --max-size and --older-than",
                got="several of them",
                remedy="leave all but one out",
            )
        if self.dry_run and not any(chosen):
            raise InputError(
                expected="--clear, --run, --max-size or --older-than beside --dry-run",
                got="none of them",
                remedy="name what is to be deleted, or leave --dry-run out",
            )
        if self.max_size is not None:
            bytes_in(self.max_size)
        if self.older_than is not None:
            seconds_in(self.older_than)


def run(config: Config) -> None:
    """Lists the store, clears it or shrinks it."""
    store, console = Store(config.store), wide_console()
    if config.clear is not None:
        _clear(store, console, config.clear, config.dry_run)
    elif config.run is not None:
        _forget_students(store, console, config.run, config.dry_run)
    elif config.max_size is not None or config.older_than is not None:
        _evict(store, console, config)
    else:
        _list(store, console)


def bytes_in(size: str) -> int:
    """The bytes of a size such as "20GB", "500 MB", "1.5TiB" or "1000".

    Raises:
        InputError: If it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]I?)?B?", size.strip().upper(), re.ASCII)
    if not found:
        raise InputError(expected="a size for --max-size, such as 20GB", got=repr(size), remedy="write one like it")
    return int(float(found[1]) * SIZES[found[2] or ""])


def seconds_in(age: str) -> float:
    """The seconds of a time such as "30d", "12h" or "2w".

    Raises:
        InputError: If it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdwy])", age.strip().lower(), re.ASCII)
    if not found:
        raise InputError(
            expected="a time for --older-than: a number and s, m, h, d, w or y, such as 30d",
            got=repr(age),
            remedy="write one like it",
        )
    return float(found[1]) * AGES[found[2]]


def _list(store: Store, console: PlainConsole) -> None:
    contents, spilled = store.contents(), store.spilled_bytes()
    console.print(console_table([_row(scorer) for scorer in contents], title="Stored scores and embeddings"))
    total = sum(scorer.num_bytes for scorer in contents) + spilled
    console.print(f"{store.folder}: {readable_size(total)}")
    if leftovers := sum(scorer.leftovers for scorer in contents) + spilled:
        console.print(
            f"{readable_size(leftovers)} of it are damaged files and what killed runs left; "
            "--clear, --max-size and --older-than delete them."
        )


def _clear(store: Store, console: PlainConsole, wanted: str, dry_run: bool) -> None:
    deleted = store.delete(None if wanted == "all" else _known(store, wanted), dry_run=dry_run)
    _check_deleted(store, deleted)
    console.print(f"{_freed(deleted, dry_run)}.")


def _evict(store: Store, console: PlainConsole, config: Config) -> None:
    most = None if config.max_size is None else bytes_in(config.max_size)
    age = None if config.older_than is None else seconds_in(config.older_than)
    _show(store, console, store.evict(most, age, dry_run=config.dry_run), config.dry_run)


def _forget_students(store: Store, console: PlainConsole, output_dir: str, dry_run: bool) -> None:
    """Students' embeddings lie in their run's folder; what was measured of them elsewhere lies in the store."""
    from st_mta.training.forgotten import lost_students  # which takes torch, and the other options do without

    folder = RunFolder(Path(output_dir))
    lost = lost_students(folder)
    own = Store(folder.student_embeddings)
    for place in (own, store) if own.folder.is_dir() else (store,):
        console.print(f"{place.folder}:")
        _show(place, console, place.evict(only=lost, dry_run=dry_run), dry_run, lost)


def _show(
    store: Store, console: PlainConsole, done: Eviction, dry_run: bool, names: Mapping[str, str] | None = None
) -> None:
    """What an eviction did or would do; with ``names`` of scorers instead of those in the store."""
    _check_deleted(store, done.deleted)
    title = "To be deleted" if dry_run else "Deleted"
    for scorers, heading in ((done.removed, title), (done.in_use, "Kept: a running process uses it")):
        rows = [_row(scorer) | _name(scorer, names or {}) for scorer in scorers]
        if rows:
            console.print(console_table(rows, title=heading))
    console.print(f"{_freed(done.deleted, dry_run)}, {readable_size(done.num_bytes)} left.")


def _name(scorer: StoredScorer, names: Mapping[str, str]) -> dict[str, str]:
    return {"scorer": names[scorer.fingerprint]} if scorer.fingerprint in names else {}


def _freed(deleted: Deleted, dry_run: bool) -> str:
    return f"{readable_size(deleted.freed)} {'would be ' if dry_run else ''}freed"


def _check_deleted(store: Store, deleted: Deleted) -> None:
    if deleted.reason:
        raise InputError(
            expected=f"to be able to delete the files of {store.folder}",
            got=f"{readable_size(deleted.refused)} that could not be deleted ({deleted.reason}), "
            f"{readable_size(deleted.freed)} freed",
            remedy="check that the disk and the folder may be written",
        )


def _known(store: Store, prefix: str) -> str:
    """The one fingerprint that begins so."""
    found = [scorer.fingerprint for scorer in store.contents() if scorer.fingerprint.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    raise InputError(
        expected="the beginning of one stored scorer's fingerprint, or all",
        got=f"{prefix!r}, which fits {len(found)}",
        remedy="copy a fingerprint from st-mta cache",
    )


def _row(scorer: StoredScorer) -> dict[str, str]:
    return {
        "fingerprint": scorer.fingerprint[:16],
        "scorer": scorer.name,
        "kind": scorer.kind,
        "pairs": f"{scorer.pairs:,}",
        "embeddings": f"{scorer.embeddings:,}",
        "searches": f"{scorer.searches:,}",
        "size": readable_size(scorer.num_bytes),
        "last used": _ago(time.time() - scorer.last_used),
    }


def _ago(seconds: float) -> str:
    """How long ago, in the largest unit that fits."""
    for unit in "dhm":
        if seconds >= AGES[unit]:
            return f"{math.floor(seconds / AGES[unit])}{unit} ago"
    return "now"
