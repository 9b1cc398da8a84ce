"""What embedding regression needs, in the warm-up and beside the listwise loss: whose embeddings, and of what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sentence_transformers import SentenceTransformer

from st_mta.errors import InputError
from st_mta.scorers import BiEncoderScorer
from st_mta.stores.embeddings import Embeddings
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.collator import DOCUMENTS
from st_mta.training.queries import training_queries
from st_mta.types import Collection, IntArray, Scorer

WEIGHT = 3.0
"""Of regression beside the listwise terms, chosen on development queries (benchmarks/assistants)."""


def fitting_bi_encoders(scorers: Sequence[Scorer], student: SentenceTransformer) -> list[BiEncoderScorer]:
    """The bi-encoders whose embeddings are as wide as the student's."""
    dimension = student.get_embedding_dimension()
    bi_encoders = [scorer for scorer in scorers if isinstance(scorer, BiEncoderScorer)]
    return [scorer for scorer in bi_encoders if scorer.dimension == dimension]


def regression_target(
    scorers: Sequence[Scorer], student: SentenceTransformer, quality: Mapping[str, float]
) -> BiEncoderScorer | None:
    """The best of them on the development split, by ``quality``; None where none fits."""
    return max(fitting_bi_encoders(scorers, student), key=lambda scorer: quality[scorer.name], default=None)


def settle_regression_weight(
    arguments: MultiAssistantTrainingArguments,
    scorers: Sequence[Scorer],
    student: SentenceTransformer,
    own_loss: bool,
) -> None:
    """Fills in ``regression_weight`` where it was left open: 3 where a bi-encoder fits, 0 under a user's loss."""
    if arguments.regression_weight is None:
        fits = not own_loss and bool(fitting_bi_encoders(scorers, student))
        arguments.regression_weight = WEIGHT if fits else 0.0


def refuse_regression_to_nobody(
    arguments: MultiAssistantTrainingArguments, scorers: Sequence[Scorer], student: SentenceTransformer
) -> None:
    """Raises ``InputError`` where ``regression_weight`` is positive and no bi-encoder fits."""
    if not arguments.regression_weight or fitting_bi_encoders(scorers, student):
        return
    raise InputError(
        expected=f"a bi-encoder with {student.get_embedding_dimension()} dimensions, as the student has, among the "
        f"scorers (regression_weight is {arguments.regression_weight})",
        got=", ".join(f"{scorer.name} ({scorer.kind})" for scorer in scorers),
        consequence="there would be no embeddings to regress the student's to",
        remedy="bring such an assistant, or set regression_weight=0",
    )


def regression_embeddings(target: BiEncoderScorer, collection: Collection) -> dict[str, Embeddings]:
    """The target's embeddings of all queries and passages, by training column."""
    queries, corpus = collection.queries, collection.corpus
    return {
        "query": target.embed(queries, "query", np.arange(len(queries))),
        DOCUMENTS: target.embed(corpus, "document", np.arange(len(corpus))),
    }


def regression_positions(collection: Collection, arguments: MultiAssistantTrainingArguments) -> dict[str, IntArray]:
    """Training queries and passages, at most ``regression_max_texts``; no query of dev or test."""
    random = np.random.default_rng([arguments.seed, arguments.num_iterations])
    queries = np.unique(training_queries(collection))
    passages = np.arange(len(collection.corpus), dtype=np.int64)
    share = min(1.0, arguments.regression_max_texts / (len(queries) + len(passages)))
    return {
        "query": np.sort(random.permutation(queries)[: int(share * len(queries))]),
        DOCUMENTS: np.sort(random.permutation(passages)[: int(share * len(passages))]),
    }
