"""One folder with everything that was computed once."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from st_mta.atomic import atomic_write_text
from st_mta.stores.embeddings import EmbeddingStore
from st_mta.stores.ledger import Ledger
from st_mta.stores.scores import ScoreStore
from st_mta.stores.tensors import TensorStore

DESCRIPTION = "scorer.json"
ROOMS = ("scores", "embeddings", "tensors", "scorers")


@dataclass(frozen=True)
class StoredScorer:
    """What the store holds of one scorer.

    Attributes:
        fingerprint: Its digest, the name of its folders.
        name: Its name when it first wrote, or "" if unknown.
        kind: Its kind, or "" if unknown.
        pairs: Stored scores.
        embeddings: Stored embeddings.
        num_bytes: Size on disk.
    """

    fingerprint: str
    name: str
    kind: str
    pairs: int
    embeddings: int
    num_bytes: int


class Store:
    """Scores, embeddings and token states under one folder, shared by all collections and runs.

    Args:
        folder: The folder; by default ``$ST_MTA_CACHE`` or the user's cache folder.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder) if folder is not None else default_folder()
        self.ledger = Ledger()
        self.scores = ScoreStore(self.folder / "scores")
        self.embeddings = EmbeddingStore(self.folder / "embeddings", self.ledger)
        self.tensors = TensorStore(self.folder / "tensors")

    @classmethod
    def at(cls, store: Store | Path | str | None) -> Store:
        """The store in a folder, as by the constructor; a store is returned as it is."""
        return store if isinstance(store, Store) else cls(store)

    def describe(self, fingerprint: str, name: str, kind: str) -> None:
        """Notes the name and kind of a scorer, once, for ``contents``."""
        path = self.folder / "scorers" / fingerprint / DESCRIPTION
        if not path.exists():
            atomic_write_text(path, json.dumps({"name": name, "kind": kind}, ensure_ascii=False))

    def contents(self) -> list[StoredScorer]:
        """What is stored, by scorer, the largest first."""
        fingerprints = {path.name for room in ROOMS for path in (self.folder / room).glob("*") if path.is_dir()}
        found = [self._describe_stored(fingerprint) for fingerprint in sorted(fingerprints - {self.scores.spill.name})]
        return sorted(found, key=lambda scorer: -scorer.num_bytes)

    def clear(self, fingerprint: str | None = None) -> int:
        """Deletes what one scorer stored, or everything; returns the number of bytes freed."""
        removed = [scorer for scorer in self.contents() if fingerprint in (None, scorer.fingerprint)]
        for scorer in removed:
            for folder in self._folders(scorer.fingerprint):
                shutil.rmtree(folder, ignore_errors=True)
        self.tensors.forget()
        # What a killed join of the database left; one that is running keeps its files open.
        shutil.rmtree(self.scores.spill, ignore_errors=True)
        left = sum(scorer.num_bytes for scorer in self.contents() if fingerprint in (None, scorer.fingerprint))
        return max(0, sum(scorer.num_bytes for scorer in removed) - left)

    def _folders(self, fingerprint: str) -> list[Path]:
        return [self.folder / room / fingerprint for room in ROOMS]

    def _describe_stored(self, fingerprint: str) -> StoredScorer:
        try:
            described = dict(json.loads((self.folder / "scorers" / fingerprint / DESCRIPTION).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            described = {}
        files = [path for folder in self._folders(fingerprint) for path in folder.rglob("*") if path.is_file()]
        return StoredScorer(
            fingerprint,
            str(described.get("name", "")),
            str(described.get("kind", "")),
            pairs=self.scores.count(fingerprint),
            embeddings=self.embeddings.count(fingerprint),
            num_bytes=sum(path.stat().st_size for path in files),
        )


def default_folder() -> Path:
    """``$ST_MTA_CACHE``, or the user's cache folder for this program."""
    return Path(os.environ.get("ST_MTA_CACHE") or platformdirs.user_cache_dir("st_mta")).expanduser()
