"""The nouns of the flow, one type each, and the letters used for shapes.

Letters: B batch, Q queries, N candidates of a query, P pairs (all candidates of all queries), S scorers
(scorer 0 is the teacher), A assistants, F fused and plain assistants, U distinct passages of a batch, D dimension.

Texts are addressed by *position* (int64) inside the program and by *id* (string) at its borders.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from st_mta.errors import InputError

Qrels = dict[str, dict[str, int]]
"""Graded judgements: query id -> passage id -> grade; a passage is relevant when its grade is at least 1."""
Judged = Mapping[str, int] | Set[str] | Sequence[str]
"""A query's judgements: passage id -> grade, or the ids of passages of grade 1."""
Run = dict[str, dict[str, float]]
"""Scores of one system: query id -> passage id -> score, higher is better."""

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


Value = TypeVar("Value", int, float)

FINGERPRINT_WINDOW = 2**16  # texts read at a time for a digest


class Texts:
    """An ordered table of texts with ids, held in Arrow memory (8.8 million passages fit, or stay memory-mapped).

    Args:
        ids: Unique ids, one per text.
        texts: The texts, in the order of the ids.

    Raises:
        InputError: If the lengths differ or an id occurs twice.
    """

    def __init__(self, ids: Iterable[str] | pa.ChunkedArray, texts: Iterable[str] | pa.ChunkedArray) -> None:
        self._ids = _string_column(ids)
        self._texts = _string_column(texts)
        if len(self._ids) != len(self._texts):
            raise InputError(
                expected="one text per id",
                got=f"{len(self._ids)} ids and {len(self._texts)} texts",
                remedy="give two lists of the same length",
            )
        if pc.count_distinct(self._ids).as_py() < len(self._ids):
            counts = pc.value_counts(self._ids.combine_chunks())
            repeated = pc.filter(counts.field("values"), pc.greater(counts.field("counts"), 1))
            raise InputError(
                expected="unique ids",
                got=f"{len(repeated)} ids more than once, the first is {repeated[0].as_py()!r}",
                remedy="remove or rename the repeated entries",
            )

    @classmethod
    def from_dict(cls, texts: Mapping[str, str]) -> Texts:
        """Makes a table from a dictionary of id -> text."""
        return cls(list(texts), list(texts.values()))

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, query_or_passage_id: str) -> str:
        """The text with this id."""
        return self.take(self.positions([query_or_passage_id]))[0]

    def __contains__(self, text_id: object) -> bool:
        return isinstance(text_id, str) and pc.index(self._ids, pa.scalar(text_id, self._ids.type)).as_py() >= 0

    def __iter__(self) -> Iterator[str]:
        """The ids, in order."""
        return iter(self.ids)

    @property
    def ids(self) -> list[str]:
        """All ids, in order."""
        return list(self._ids.to_pylist())

    @property
    def column(self) -> pa.ChunkedArray:
        """The texts as an Arrow column, for code that streams them."""
        return self._texts

    def take(self, positions: Sequence[int] | IntArray) -> list[str]:
        """The texts at these positions, as Python strings."""
        return _take(self._texts, positions)

    def take_ids(self, positions: Sequence[int] | IntArray) -> list[str]:
        """The ids at these positions."""
        return _take(self._ids, positions)

    def positions(self, ids: Sequence[str]) -> IntArray:
        """The positions of these ids; raises ``KeyError`` naming the first unknown one."""
        found = self.find(ids)
        if (found < 0).any():
            raise KeyError(ids[int(np.argmax(found < 0))])
        return found

    def find(self, ids: Sequence[str] | pa.Array) -> IntArray:
        """The positions of these ids, -1 where an id is unknown."""
        wanted = ids.cast(self._ids.type) if isinstance(ids, pa.Array) else pa.array(list(ids), type=self._ids.type)
        found = pc.fill_null(pc.index_in(wanted, value_set=self._ids.combine_chunks()), -1)
        return np.asarray(found.to_numpy(), dtype=np.int64)

    def select(self, positions: Sequence[int] | IntArray) -> Texts:
        """A smaller table with the texts at these positions."""
        index = pa.array(np.asarray(positions, dtype=np.int64))
        return Texts(self._ids.take(index), self._texts.take(index))

    @cached_property
    def fingerprint(self) -> str:
        """Digest of all ids and texts in their order (32 hexadecimal digits)."""
        digest = hashlib.blake2b(digest_size=16)
        for column in (self._ids, self._texts):
            # Windows of fixed size: the digest knows nothing of the column's chunks, and memory stays bounded.
            for start in range(0, len(column), FINGERPRINT_WINDOW):
                window = column.slice(start, FINGERPRINT_WINDOW)
                digest.update(pc.binary_length(window).to_numpy().astype(np.int64).tobytes())
                digest.update("".join(window.to_pylist()).encode())
        return digest.hexdigest()


def _string_column(values: Iterable[str] | pa.ChunkedArray) -> pa.ChunkedArray:
    """A ``large_string`` column (64-bit offsets, since a corpus may exceed 2 GiB of text)."""
    if isinstance(values, pa.ChunkedArray):
        return values.cast(pa.large_string())
    array = values if isinstance(values, pa.Array) else pa.array(list(values), pa.large_string())
    return pa.chunked_array([array.cast(pa.large_string())])


def _take(column: pa.ChunkedArray, positions: Sequence[int] | IntArray) -> list[str]:
    """Strings at these positions, chunk by chunk: Arrow's own ``take`` would first copy the whole column together."""
    index = np.asarray(positions, dtype=np.int64)
    if column.num_chunks <= 1:
        return list(column.take(pa.array(index)).to_pylist())
    ends = np.cumsum([len(chunk) for chunk in column.chunks])
    if len(index) and not (0 <= index.min() and index.max() < ends[-1]):
        raise IndexError(f"position outside 0..{ends[-1] - 1}")
    chunk_of = np.searchsorted(ends, index, side="right")
    order = np.argsort(chunk_of, kind="stable")
    taken: list[str] = []
    for number in np.unique(chunk_of):
        inside = index[order][chunk_of[order] == number] - (ends[number] - len(column.chunk(number)))
        taken += column.chunk(number).take(pa.array(inside)).to_pylist()
    result = np.empty(len(index), dtype=object)
    result[order] = taken
    return list(result)


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


class Ragged:
    """Rows of any length, one behind the other: row i owns ``offsets[i]:offsets[i + 1]``."""

    offsets: IntArray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        """(Q,) entries of each row."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> IntArray:
        """(P,) row number (0..Q-1) of each entry."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)


def offsets_of(lengths: npt.NDArray[np.integer]) -> IntArray:
    """(Q + 1,) boundaries of rows of these lengths (Q,)."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def numbers_within(lengths: npt.NDArray[np.integer]) -> IntArray:
    """0, 1, 2, ... within each of consecutive rows of these lengths."""
    starts: IntArray = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.arange(len(starts), dtype=np.int64) - starts


def starts_of(*columns: npt.NDArray[Any]) -> BoolArray:
    """(n,) where a new combination of values begins in sorted columns."""
    starts = np.zeros(len(columns[0]), dtype=bool)
    starts[:1] = True
    for column in columns:
        starts[1:] |= column[1:] != column[:-1]
    return starts


@dataclass(frozen=True)
class Candidates(Ragged):
    """For each query an ordered list of passages.

    Attributes:
        queries: (Q,) positions in the collection's queries.
        offsets: (Q + 1,) row boundaries, starting at 0.
        passages: (P,) positions in the corpus.
        positive: (P,) True for a relevant passage (labelled, or the teacher's best where labels are missing).
        source: (P,) which of ``sources`` brought the passage.
        sources: Names of the retrievers; "qrels" for passages that came in as labelled positives.
        grades: (P,) int64 grades of the positives, 0 for all others; a positive of which nothing is said has grade 1.
    """

    queries: IntArray
    offsets: IntArray
    passages: IntArray
    positive: BoolArray
    source: IntArray
    sources: tuple[str, ...]
    grades: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __post_init__(self) -> None:
        graded = self.grades if len(self.grades) else np.zeros(len(self.passages), dtype=np.int64)
        object.__setattr__(self, "grades", np.where(self.positive, np.maximum(graded, 1), 0))

    @property
    def pair_queries(self) -> IntArray:
        """(P,) query position of each pair."""
        return np.repeat(self.queries, self.lengths)

    def select(self, rows: IntArray) -> Candidates:
        """The candidates of these rows, in this order (a row may occur several times)."""
        rows = np.asarray(rows, dtype=np.int64)
        return self._part(self.queries[rows], self.lengths[rows], self.pairs_of(rows))

    def keep(self, pairs: BoolArray) -> Candidates:
        """Only the pairs marked True; rows stay, possibly shorter."""
        return self._part(self.queries, np.bincount(self.rows[pairs], minlength=len(self)), pairs)

    def _part(self, queries: IntArray, lengths: IntArray, pairs: IntArray | BoolArray) -> Candidates:
        columns = self.passages[pairs], self.positive[pairs], self.source[pairs]
        return Candidates(queries, offsets_of(lengths), *columns, self.sources, self.grades[pairs])

    def pairs_of(self, rows: IntArray) -> IntArray:
        """Index of every pair of these rows, row after row: selects what lies beside the pairs, as scores do."""
        return np.repeat(self.offsets[rows], self.lengths[rows]) + numbers_within(self.lengths[rows])

    def rows_of(self, queries: IntArray) -> IntArray:
        """Row numbers of these query positions, in their order; queries without a row are left out."""
        order = np.argsort(self.queries, kind="stable")
        place = np.searchsorted(self.queries, queries, sorter=order).clip(max=len(order) - 1)
        rows = order[place]
        found: IntArray = rows[self.queries[rows] == queries]
        return found


@dataclass(frozen=True)
class Retrieved:
    """The best passages of each query, best first; rows shorter than k are filled with position -1 and score -inf.

    Attributes:
        queries: (Q,) positions in the queries.
        passages: (Q, k) positions in the corpus.
        scores: (Q, k) float32.
    """

    queries: IntArray
    passages: IntArray
    scores: FloatArray

    def ordered(self, order: npt.NDArray[np.integer]) -> Retrieved:
        """The same with the entries of every row in the order of (Q, k) column numbers."""
        passages, scores = np.take_along_axis(self.passages, order, 1), np.take_along_axis(self.scores, order, 1)
        return Retrieved(self.queries, passages, scores)

    def to_run(self, queries: Texts, corpus: Texts) -> Run:
        """The same as a TREC run with ids."""
        found = self.passages >= 0
        query_ids, passage_ids = queries.take_ids(self.queries), corpus.take_ids(self.passages[found])
        return run_of(query_ids, found.sum(axis=1), passage_ids, self.scores[found])


def run_of(query_ids: Iterable[str], lengths: IntArray, passage_ids: Iterable[str], scores: FloatArray) -> Run:
    """A run from queries with (Q,) lengths, and the ids and scores (P,) of their passages one behind the other."""
    pairs = zip(passage_ids, scores.tolist())
    return {query_id: dict(islice(pairs, length)) for query_id, length in zip(query_ids, lengths.tolist())}


def by_query(
    query_ids: Iterable[str], passage_ids: Iterable[str], values: Iterable[Value]
) -> dict[str, dict[str, Value]]:
    """Query id -> passage id -> value from (P,) columns; of a pair that occurs twice the last value counts."""
    nested: dict[str, dict[str, Value]] = {}
    for query_id, passage_id, value in zip(query_ids, passage_ids, values):
        nested.setdefault(query_id, {})[passage_id] = value
    return nested


def graded(judged: Any) -> Mapping[str, int] | None:
    """A query's judgements (see ``Judged``) as passage id -> grade; None where they are nothing of the kind."""
    if isinstance(judged, Mapping):
        return judged
    if isinstance(judged, (Set, list, tuple, np.ndarray)) and all(isinstance(entry, Hashable) for entry in judged):
        return dict.fromkeys(sorted(judged, key=str) if isinstance(judged, Set) else judged, 1)  # always in one order
    return None


def is_grade(value: Any) -> bool:
    """Whether it is a whole number that every form of judgements can hold."""
    if not isinstance(value, (int, float, np.integer, np.floating, np.bool_)):
        return False
    return bool(-(2**53) < value < 2**53) and float(value).is_integer()


class Scorer(ABC):
    """Anything that scores a query against passages: a teacher or an assistant.

    A kind of your own needs ``name``, ``kind``, ``fingerprint`` and ``score``; everything else has a default.

    Attributes:
        name: Short unique name for reports ("bm25", "minilm", a Hub id).
        kind: "cross-encoder", "bi-encoder", "late-interaction", "sparse", "bm25", "fusion", "stored", "function" or a
            word of your own.
        can_retrieve: Whether ``retrieve`` searches the whole corpus (otherwise the scorer only re-ranks).
        bounded: Whether scores are similarities or weights of terms: if all lie between 0 and 1, that is then no sign
            of a sigmoid.
        partial: Whether it knows some pairs only, and gives NaN for others: what it does not know is then no zero.
        parameters: Number of weights, 0 where there are none.
        layers: Transformer layers, None where there are none or their number is unknown.
        timed: Whether a run may take its speed; set it to False for a service that is paid for.
        divisible: Names of methods that several processes may share, part by part: what one part gives does not
            depend on the others, and the object may be sent to another process.
        pairs_computed: Pairs it has computed in this process, without those looked up in a store.
        seconds_computing: How long that took.
    """

    name: str
    kind: str
    can_retrieve: bool = False
    bounded: bool = False
    partial: bool = False
    parameters: int = 0
    layers: int | None = None
    timed: bool = True
    divisible: tuple[str, ...] = ()
    pairs_computed: int = 0
    seconds_computing: float = 0.0

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Digest of everything a score depends on: weights, configuration, prompts, max length, precision."""

    @abstractmethod
    def score(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """Raw scores of pairs (the i-th query position with the i-th passage position).

        Returns:
            (P,) float32, unbounded logits or similarities, higher is better; NaN only where a *stored* scorer
            knows nothing about the pair.
        """

    def retrieve(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Retrieved:
        """The k best passages of each query from the whole corpus; ties go to the lower corpus position."""
        raise NotImplementedError(f"{self.name} re-ranks only; give it candidates of a retriever.")

    def listed(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Retrieved | None:
        """What it has scores for, where they are given and no others can be had; None where any pair can be scored.

        Returns:
            Up to k passages of each query, its best where there are more, in the order in which they were given.
        """
        return None

    def ranking(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Run | None:
        """The k best passages of each query that has any, where a finished ranking is at hand (a run file).

        It may hold passages that the corpus does not have, which take ranks in measures; ties are broken as trec_eval
        does. None where ``retrieve`` says everything.
        """
        return None

    def answer(self, queries: Texts, corpus: Texts, depth: int) -> Callable[[IntArray], object] | None:
        """How it answers a batch of query positions, to time it; None for a scorer that only re-ranks."""
        return (lambda batch: self.retrieve(queries, corpus, batch, depth)) if self.can_retrieve else None

    @property
    def pairs_per_second(self) -> float | None:
        """Pairs computed in a second of this process's scoring; None where nothing was computed."""
        return self.pairs_computed / self.seconds_computing if self.seconds_computing else None
