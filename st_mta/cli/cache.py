"""Lists or clears stored scores and embeddings.

Example:
  st-mta cache --clear all
"""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.cli.show import readable_size, wide_console
from st_mta.errors import InputError
from st_mta.options import option
from st_mta.recipes.options import Stored
from st_mta.report import console_table
from st_mta.stores import Store


@dataclass(frozen=True, kw_only=True)
class Config(Stored):
    """Options of ``st-mta cache``."""

    clear: str | None = option(
        None, help="Delete what this scorer stored: the beginning of its fingerprint in the list, or all."
    )


def run(config: Config) -> None:
    """Lists the store, or clears it."""
    store = Store(config.store)
    console = wide_console()
    if config.clear is None:
        console.print(console_table(_rows(store), title="Stored scores and embeddings"))
        console.print(str(store.folder))
        return
    fingerprint = None if config.clear == "all" else _known(store, config.clear)
    freed = readable_size(store.clear(fingerprint))
    if left := sum(one.num_bytes for one in store.contents() if fingerprint in (None, one.fingerprint)):
        raise InputError(
            expected=f"to be able to delete the files of {store.folder}",
            got=f"{readable_size(left)} that could not be deleted ({freed} freed)",
            remedy="check that the disk and the folder may be written, and that no run is using them",
        )
    console.print(f"{freed} freed.")


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


def _rows(store: Store) -> list[dict[str, str]]:
    return [
        {
            "fingerprint": scorer.fingerprint[:16],
            "scorer": scorer.name,
            "kind": scorer.kind,
            "pairs": f"{scorer.pairs:,}",
            "embeddings": f"{scorer.embeddings:,}",
            "size": readable_size(scorer.num_bytes),
        }
        for scorer in store.contents()
    ]
