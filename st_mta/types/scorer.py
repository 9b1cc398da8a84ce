"""Anything that scores a query against passages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from st_mta.types.arrays import FloatArray, IntArray
from st_mta.types.candidates import Lists
from st_mta.types.retrieved import Retrieved, Run
from st_mta.types.texts import Texts


class Scorer(ABC):
    """Anything that scores a query against passages: a teacher or an assistant.

    A kind of your own needs ``name``, ``kind``, ``fingerprint`` and ``score``; everything else has a default.

    Attributes:
        name: Short unique name for reports ("bm25", "minilm", a Hub id).
        kind: "cross-encoder", "bi-encoder", "late-interaction", "sparse", "bm25", "fusion", "stored", "function",
            "list", "pairwise", "anncur" or a word of your own.
        can_retrieve: Whether ``retrieve`` searches the whole corpus (otherwise the scorer only re-ranks).
        bounded: Whether scores are similarities or weights of terms: if all lie between 0 and 1, that is then no sign
            of a sigmoid.
        partial: Whether it knows some pairs only, and gives NaN for others: what it does not know is then no zero.
        listwise: Whether a passage's score depends on the other passages of the list that it is scored in.
        ordered: Whether it also depends on the order in which they are given.
        mines: Whether it brings candidates also where it is the teacher.
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
    listwise: bool = False
    ordered: bool = False
    mines: bool = False
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

    def score_lists(self, queries: Texts, corpus: Texts, lists: Lists) -> FloatArray:
        """Raw scores of the passages of whole lists: of most scorers those of the pairs, whatever else is listed.

        Returns:
            (P,) float32, as of ``score``; comparable within a list, and between lists where the scorer says so.
        """
        return self.score(queries, corpus, lists.pair_queries, lists.passages)

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
