"""What was computed and what was taken from the store, for logs, reports and tests of resuming."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace


@dataclass
class Ledger:
    """Counts since the store was opened.

    Attributes:
        pairs_scored: Distinct (query, passage) pairs a scorer computed.
        pairs_reused: Distinct pairs found in the store.
        passages_encoded: Distinct passages a model encoded.
        passages_reused: Distinct passages whose embedding was in the store.
        queries_encoded: Distinct queries a model encoded.
        queries_reused: Distinct queries whose embedding was in the store.
        queries_searched: Distinct queries for which a corpus was searched.
        searches_reused: Distinct queries whose best passages were in the store.
    """

    pairs_scored: int = 0
    pairs_reused: int = 0
    passages_encoded: int = 0
    passages_reused: int = 0
    queries_encoded: int = 0
    queries_reused: int = 0
    queries_searched: int = 0
    searches_reused: int = 0

    def count_encoded(self, role: str, encoded: int, reused: int) -> None:
        """Adds to the counts of a role, "query" or "document"."""
        if role == "query":
            self.queries_encoded += encoded
            self.queries_reused += reused
        else:
            self.passages_encoded += encoded
            self.passages_reused += reused

    def as_dict(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)

    def copy(self) -> Ledger:
        """A snapshot, to subtract later."""
        return replace(self)

    def __sub__(self, earlier: Ledger) -> Ledger:
        before = earlier.as_dict()
        return Ledger(**{name: count - before[name] for name, count in self.as_dict().items()})
