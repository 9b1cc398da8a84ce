"""What there is to search, who searches, and what is relevant."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from st_mta.types.arrays import IntArray
from st_mta.types.judgements import Qrels
from st_mta.types.texts import Texts


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
    """

    name: str
    corpus: Texts
    queries: Texts
    qrels: Mapping[str, Qrels]
    unlabelled: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    licence: str | None = None
    notes: tuple[str, ...] = ()
    hub_id: str | None = None

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
