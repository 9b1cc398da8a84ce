"""One folder with everything that was computed once."""

from __future__ import annotations

import json
import os
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from st_mta.atomic import atomic_write_text
from st_mta.errors import InputError
from st_mta.stores.clearing import Deleted, delete_scorer, delete_spilled
from st_mta.stores.embeddings import EmbeddingStore
from st_mta.stores.eviction import Eviction, evict
from st_mta.stores.layout import DESCRIPTION as DESCRIPTION
from st_mta.stores.layout import files_of, fingerprints, last_use_of, spilled
from st_mta.stores.ledger import Ledger
from st_mta.stores.queries import QueryStore
from st_mta.stores.scores import ScoreStore
from st_mta.stores.searches import SearchStore
from st_mta.stores.tensors import TensorStore
from st_mta.stores.uses import Uses

LONGEST_NAME = 200  # characters that are shown of a name out of somebody else's store


@dataclass(frozen=True)
class StoredScorer:
    """What the store holds of one scorer.

    Attributes:
        fingerprint: Its digest, the name of its folders.
        name: Its name when it first wrote, or "" if unknown.
        kind: Its kind, or "" if unknown.
        pairs: Stored scores.
        embeddings: Stored embeddings.
        searches: Queries whose best passages are stored.
        num_bytes: Size on disk, leftovers included.
        leftovers: Bytes of that which no look-up reads: damaged files, and those that killed processes left.
        last_used: When it was last used, in seconds since 1970.
        of: What its scores belong to: "pairs", or lists or comparisons, which only the scorer itself can look up.
    """

    fingerprint: str
    name: str
    kind: str
    pairs: int
    embeddings: int
    num_bytes: int
    leftovers: int = 0
    last_used: float = 0.0
    searches: int = 0
    of: str = "pairs"


class Store:
    """Scores, embeddings, token states, searches and generated queries in one folder, for all collections and runs.

    Files get the permissions that the user's umask leaves, so that a group can share a store.

    Args:
        folder: The folder; by default ``$ST_MTA_CACHE`` or the user's cache folder.
        embeddings: Number format of embeddings that are written: "fp32", or "fp16" for half the space, by default what
            ``$ST_MTA_EMBEDDINGS`` says, and without it fp32. Both may lie in one store; what is searched and scored
            are the stored rows. Blocks with numbers too large for fp16 stay in fp32.

    Raises:
        InputError: If there is a file in the folder's place, or the format is another word.
    """

    def __init__(self, folder: Path | str | None = None, embeddings: str | None = None) -> None:
        self.folder = Path(folder).expanduser() if folder is not None else default_folder()
        _check_folder(self.folder)
        self.ledger = Ledger()
        self.uses = Uses(self.folder / "scorers")
        self.scores = ScoreStore(self.folder / "scores", self.uses)
        self.embeddings = EmbeddingStore(self.folder / "embeddings", self.ledger, self.uses, embeddings)
        self.tensors = TensorStore(self.folder / "tensors", self.uses)
        self.searches = SearchStore(self.folder / "searches", self.ledger, self.uses)
        self.queries = QueryStore(self.folder / "queries", self.uses)

    @classmethod
    def at(cls, store: Store | Path | str | None) -> Store:
        """The store in a folder, as by the constructor; a store is returned as it is."""
        return store if isinstance(store, Store) else cls(store)

    def describe(self, fingerprint: str, name: str, kind: str, of: str = "pairs") -> None:
        """Notes the name and kind of a scorer, and what its scores are of if not of pairs, once, for ``contents``.

        Does nothing where nothing can be written.
        """
        path = self.folder / "scorers" / fingerprint / DESCRIPTION
        described = {"name": name, "kind": kind, **({} if of == "pairs" else {"of": of})}
        with suppress(OSError):
            if not path.exists():
                atomic_write_text(path, json.dumps(described, ensure_ascii=False))

    def contents(self) -> list[StoredScorer]:
        """What is stored, by scorer, the largest first."""
        found = [self._describe_stored(fingerprint) for fingerprint in fingerprints(self.folder)]
        return sorted((scorer for scorer in found if scorer), key=lambda scorer: -scorer.num_bytes)

    def spilled_bytes(self) -> int:
        """Size of what large joins put on disk, and killed ones left there."""
        return sum(file.size for file in spilled(self.folder))

    def clear(self, fingerprint: str | None = None) -> int:
        """Deletes what one scorer stored, or everything; returns the number of bytes freed.

        Only files that a store writes are deleted. Processes that use the store meanwhile compute again what is gone.
        """
        return self.delete(fingerprint).freed

    def delete(self, fingerprint: str | None = None, *, dry_run: bool = False) -> Deleted:
        """As ``clear``; says also what could not be deleted, and with ``dry_run`` only what would be."""
        chosen = fingerprints(self.folder) if fingerprint is None else [fingerprint]
        deleted = sum((delete_scorer(self.folder, one, dry_run=dry_run) for one in chosen), start=Deleted())
        self._forget()
        return deleted if fingerprint is not None else deleted + delete_spilled(self.folder, dry_run=dry_run)

    def evict(
        self,
        max_bytes: int | None = None,
        older_than: float | None = None,
        *,
        only: Container[str] | None = None,
        dry_run: bool = False,
    ) -> Eviction:
        """Deletes what was not used for ``older_than`` seconds, then the least recently used down to ``max_bytes``.

        What another running process uses stays. Damaged files and what killed processes left go in any case, the
        latter if it is older than a day.

        Args:
            max_bytes, older_than: See above.
            only: Deletes these fingerprints instead.
            dry_run: Whether to say only what would be done.
        """
        done = evict(self.folder, self.contents(), max_bytes, older_than, only=only, dry_run=dry_run)
        self._forget()
        return done

    def _forget(self) -> None:
        self.tensors.forget()
        self.embeddings.forget()

    def _describe_stored(self, fingerprint: str) -> StoredScorer | None:
        files = files_of(self.folder, fingerprint)
        if not files:
            return None
        described = _described(self.folder / "scorers" / fingerprint / DESCRIPTION)
        return StoredScorer(
            fingerprint,
            _shown(described.get("name")),
            _shown(described.get("kind")),
            pairs=self.scores.count(fingerprint),
            embeddings=self.embeddings.count(fingerprint),
            num_bytes=sum(file.size for file in files),
            leftovers=sum(file.size for file in files if file.leftover),
            searches=self.searches.count(fingerprint),
            of=_shown(described.get("of", "pairs")),
            last_used=max(last_use_of(self.folder, fingerprint), *(file.changed for file in files)),
        )


def default_folder() -> Path:
    """``$ST_MTA_CACHE``, or the user's cache folder for this program."""
    return Path(os.environ.get("ST_MTA_CACHE") or platformdirs.user_cache_dir("st_mta")).expanduser()


def _check_folder(folder: Path) -> None:
    """Refuses a path where something stands that is no folder, or that leads through something that is none."""
    for place in (folder, *folder.parents):
        if os.path.lexists(place):
            if place.is_dir():
                return
            raise InputError(
                expected=f"a folder for stored scores and embeddings, {folder}",
                got=f"{place}, which is no folder",
                remedy="give another folder with --store or ST_MTA_CACHE",
            )


def _described(path: Path) -> dict[str, Any]:
    """What stands in a description; nothing if somebody else wrote something else there."""
    try:
        described = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return described if isinstance(described, dict) else {}


def _shown(value: Any) -> str:
    """A name out of a description: text that can be printed, of a length that can be read."""
    if not isinstance(value, str):
        return ""
    return value.encode("utf-8", "replace").decode("utf-8")[:LONGEST_NAME]
