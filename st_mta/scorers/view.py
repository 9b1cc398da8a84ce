"""A scorer that reads other texts of the same passages and queries than everybody else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from st_mta.collections.view import View, read_view
from st_mta.errors import InputError
from st_mta.scorers.embedding import EmbeddingScorer
from st_mta.scorers.positions import checked_pairs, checked_search
from st_mta.stores.embeddings import Embeddings, Role
from st_mta.stores.fingerprints import fingerprint_values
from st_mta.types import FloatArray, IntArray, Lists, Retrieved, Run, Scorer, Texts

TAKEN = (
    "name",
    "kind",
    "can_retrieve",
    "bounded",
    "partial",
    "parameters",
    "layers",
    "timed",
    "listwise",
    "ordered",
    "mines",
)
"""Attributes that are those of the scorer inside."""


class ViewScorer(Scorer):
    """A scorer whose queries and passages are those of a view; positions stay the collection's.

    What is stored stands under the view's texts and the scorer's own fingerprint: scores computed once on the English
    pairs serve whatever language a student reads. The fingerprint of this scorer, which a run is known by, names the
    view too.

    Args:
        scorer: Any scorer.
        view: The texts that it reads.
        name: Name for reports, by default the scorer's.
    """

    def __init__(self, scorer: Scorer, view: View, name: str | None = None) -> None:
        self.scorer, self.view = scorer, view
        for attribute in TAKEN:
            setattr(self, attribute, getattr(scorer, attribute))
        self.name = name or scorer.name

    @property
    def fingerprint(self) -> str:
        """The scorer's own, and the digest of the view's texts."""
        return fingerprint_values(self.scorer.fingerprint, "view", self.view.fingerprint)

    @property
    def pairs_per_second(self) -> float | None:
        """The scorer's own."""
        return self.scorer.pairs_per_second

    def score(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """(P,) scores of the view's texts; see ``Scorer.score``."""
        pairs = checked_pairs(queries, corpus, query_positions, passage_positions)
        return self.scorer.score(*self._seen(queries, corpus), *pairs)

    def score_lists(self, queries: Texts, corpus: Texts, lists: Lists) -> FloatArray:
        """(P,) scores of the view's texts, list by list."""
        checked_pairs(queries, corpus, lists.pair_queries, lists.passages)
        return self.scorer.score_lists(*self._seen(queries, corpus), lists)

    def retrieve(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Retrieved:
        """The k best passages by the view's texts."""
        return self.scorer.retrieve(*self._seen(queries, corpus), *checked_search(queries, query_positions, k))

    def ranking(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Run | None:
        """As of the scorer, whose ids are the collection's."""
        return self.scorer.ranking(*self._seen(queries, corpus), query_positions, k)

    def listed(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Retrieved | None:
        """As of the scorer, whose ids are the collection's."""
        return self.scorer.listed(*self._seen(queries, corpus), query_positions, k)

    def answer(self, queries: Texts, corpus: Texts, depth: int) -> Callable[[IntArray], object] | None:
        """Answers the view's queries."""
        return self.scorer.answer(*self._seen(queries, corpus), depth)

    def _seen(self, queries: Texts, corpus: Texts) -> tuple[Texts, Texts]:
        return self.view.of_queries(queries), self.view.of_corpus(corpus)


class EmbeddingView(ViewScorer, EmbeddingScorer):
    """A bi-encoder that reads a view, whose embeddings stand for the collection's texts: a student learns them.

    Args: As of [`ViewScorer`], of a bi-encoder.
    """

    scorer: EmbeddingScorer

    def __init__(self, scorer: EmbeddingScorer, view: View, name: str | None = None) -> None:
        ViewScorer.__init__(self, scorer, view, name)
        self.store, self.device, self.similarity = scorer.store, scorer.device, scorer.similarity
        self.backend, self.block_size = scorer.backend, scorer.block_size

    @property
    def dimension(self) -> int:
        """D, the width of the embeddings."""
        return self.scorer.dimension

    def search_with(self, backend: str, block_size: int | None = None) -> None:
        """As of the scorer inside, which searches."""
        self.scorer.search_with(backend, block_size)
        self.backend, self.block_size = self.scorer.backend, self.scorer.block_size

    def answer(self, queries: Texts, corpus: Texts, depth: int) -> Callable[[IntArray], object]:
        """Answers the view's queries."""
        return self.scorer.answer(*self._seen(queries, corpus), depth)

    def encode(self, texts: list[str], role: Role) -> FloatArray:
        """(n, D) embeddings of these very texts, whatever the view."""
        return self.scorer.encode(texts, role)

    def embed(self, texts: Texts, role: Role, positions: IntArray) -> Embeddings:
        """The embeddings of what the view has in the place of these texts."""
        seen = self.view.of_queries(texts) if role == "query" else self.view.of_corpus(texts)
        return self.scorer.embed(seen, role, positions)


def with_view(scorer: Scorer, view: View | str | Path | None = None, **parts: Any) -> Scorer:
    """The scorer, reading other texts of the passages and queries that a collection has.

    A teacher that knows one language teaches a student of another (Translate-Distill), or one that reads an expanded
    query or a passage with its title teaches a student that reads less.

    Args:
        scorer: Any scorer, as teacher or assistant; a word-level loss needs one without a view.
        view: The texts, or a folder of them as for [`st_mta.collections.view.read_view`].
        parts: ``corpus`` and ``queries`` as ``Texts`` instead, matched by ids, and ``name`` for reports.

    Raises:
        InputError: If there is no text in the view; when used, if it lacks texts of the collection.

    Example:
        ::

            teacher = with_view(load_scorer("cross-encoder/ms-marco-MiniLM-L6-v2"), "data/english")
            trainer = MultiAssistantTrainer(student, teacher=teacher, collection="data/german")
    """
    name = parts.pop("name", None)
    if not isinstance(view, View):
        view = View(**parts) if view is None else read_view(view)
    kind = EmbeddingView if isinstance(scorer, EmbeddingScorer) else ViewScorer
    return kind(scorer, view, name)  # type: ignore[arg-type]


def check_views(
    scorers: Sequence[Scorer], queries: Texts, corpus: Texts, *, other_texts: bool = False, cut: bool = False
) -> list[str]:
    """A sentence for the report on each scorer that reads a view.

    Args:
        scorers: Of a run.
        queries: The collection's.
        corpus: The collection's.
        other_texts: Whether a bi-encoder is to embed texts that are not the collection's too.
        cut: Whether the passages are windows of documents; a view has to know them by their own ids.

    Raises:
        InputError: If a view lacks texts that are to be read, before anything is computed.
    """
    viewing = [scorer for scorer in scorers if isinstance(scorer, ViewScorer)]
    if other_texts and (blind := [one.name for one in viewing if isinstance(one, EmbeddingView)]):
        raise InputError(
            expected="no regression_texts where a bi-encoder reads a view",
            got=f"both, with {blind[0]}",
            consequence="the view has nothing in the place of these texts",
            remedy="leave regression_texts out, or bring the bi-encoder without its view",
        )
    for scorer in viewing:
        if cut:
            _refuse_documents(scorer, corpus)
        scorer.view.of_queries(queries), scorer.view.of_corpus(corpus)
    return [
        f"{scorer.name} reads other texts of the {scorer.view.parts}, those of {_without_folders(scorer.view.source)}."
        for scorer in viewing
    ]


def _refuse_documents(scorer: ViewScorer, windows: Texts) -> None:
    """Raises ``InputError`` where a view has other texts of passages, but of none of the windows."""
    texts = scorer.view.corpus
    if texts is not None and len(windows) and not (texts.find(windows.ids) >= 0).any():
        raise InputError(
            expected="no other texts of documents that are cut into windows: the two do not go together yet",
            got=f"windows, and {len(texts)} documents in {scorer.view.source}, which {scorer.name} reads",
            consequence="nobody could say which part of a document's other text belongs to a window",
            remedy="leave windows out, or the corpus of the view, so that the collection's own is read; or cut the "
            "documents into passages beforehand, those of the view by the same ids",
        )


def _without_folders(source: str) -> str:
    """The last part of a path: reports may be published."""
    return Path(source).name or source
