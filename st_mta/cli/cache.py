"""``st-mta cache``."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from st_mta.cli.parse import parse
from st_mta.errors import InputError
from st_mta.stores import Store


@dataclass
class CacheConfig:
    """Options of ``st-mta cache``."""

    store: str | None = field(default=None, metadata={"help": "The store's folder (the user's cache if not given)."})
    clear: str | None = field(
        default=None, metadata={"help": "Delete what this scorer stored: a fingerprint from the list, or all."}
    )


def run(arguments: list[str]) -> None:
    """Lists the store, or clears it."""
    config = parse(CacheConfig, arguments, "cache", "Lists or clears stored scores and embeddings.")
    store = Store(config.store)
    console = Console()
    if config.clear is None:
        console.print(_table(store))
        console.print(f"{store.folder}", highlight=False)
        return
    fingerprint = None if config.clear == "all" else _known(store, config.clear)
    console.print(f"{readable_size(store.clear(fingerprint))} freed.", highlight=False)


def _known(store: Store, prefix: str) -> str:
    """The one fingerprint that begins so."""
    found = [scorer.fingerprint for scorer in store.contents() if scorer.fingerprint.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    raise InputError(
        expected="the beginning of one stored scorer's fingerprint, or all",
        got=f"{prefix!r}, which fits {len(found)}",
        consequence="the wrong scores might be deleted",
        remedy="copy a fingerprint from st-mta cache",
    )


def _table(store: Store) -> Table:
    table = Table("fingerprint", "scorer", "kind", "pairs", "embeddings", "size", title="Stored scores and embeddings")
    for scorer in store.contents():
        table.add_row(
            scorer.fingerprint[:16],
            scorer.name,
            scorer.kind,
            f"{scorer.pairs:,}",
            f"{scorer.embeddings:,}",
            readable_size(scorer.num_bytes),
        )
    return table


def readable_size(num_bytes: float) -> str:
    """A number of bytes as people say it: "12 B", "4.3 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000 or unit == "GB":
            break
        num_bytes /= 1000
    return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
