"""What there is to search, who searches, and what is relevant."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from st_mta.types.arrays import IntArray
from st_mta.types.judgements import Qrels
from st_mta.types.texts import Texts
from st_mta.types.windows import Windows


@dataclass(frozen=True)
class Collection:
    """A corpus, queries and graded judgements for each split.

    Attributes:
        name: Short name, used in file names and reports.
        corpus: The passages; a title, where there is one, is already joined to its text.
        queries: The queries of all splits.
        qrels: Split name ("train", "dev", "test") -> graded judgements.
        unlabelled: Positions in ``queries`` of training queries without judgements.
        licence: The licence of the data as stated by its source, or None.
        notes: What was dropped or made while loading, in sentences for the report.
        hub_id: The id of the Hub dataset it was read from, or None.
        windows: Where the passages are windows: what of. Judgements are then those of the documents.
    """

    name: str
    corpus: Texts
    queries: Texts
    qrels: Mapping[str, Qrels]
    unlabelled: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    licence: str | None = None
    notes: tuple[str, ...] = ()
    hub_id: str | None = None
    windows: Windows | None = None

    @property
    def over_documents(self) -> Collection:
        """The same with whole documents as passages, where these are windows."""
        return self if self.windows is None else replace(self, corpus=self.windows.documents, windows=None)

    def find_judged(self, ids: Sequence[str]) -> IntArray:
        """Positions in the corpus of judged ids, -1 where unknown; of a document that of its first window."""
        if self.windows is None:
            return self.corpus.find(ids)
        found = self.windows.documents.find(ids)
        return np.where(found < 0, -1, self.windows.offsets[found])

    def judged_ids(self, passages: IntArray) -> list[str]:
        """The ids under which passages are judged: of windows those of their documents."""
        if self.windows is None:
            return self.corpus.take_ids(passages)
        return self.windows.documents.take_ids(self.windows.document[passages])

    def queries_of(self, split: str) -> IntArray:
        """Positions of the split's judged queries, in the order of the qrels."""
        return self.queries.positions(list(self.qrels.get(split, {})))

    @cached_property
    def fingerprint(self) -> str:
        """Digest of texts and judgements (32 hexadecimal digits)."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(self.corpus.fingerprint.encode() + self.queries.fingerprint.encode())
        for split in sorted(self.qrels):
            for query_id in sorted(self.qrels[split]):
                digest.update(repr((split, query_id, sorted(self.qrels[split][query_id].items()))).encode())
        digest.update(self.unlabelled.tobytes())
        return digest.hexdigest()
