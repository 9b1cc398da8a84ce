"""What embedding regression needs, in the warm-up and beside the listwise loss: whose embeddings, and of what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sentence_transformers import SentenceTransformer

from st_mta.scorers import EmbeddingScorer
from st_mta.stores.embeddings import Embeddings
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.curriculum import training_queries
from st_mta.training.students import DOCUMENTS
from st_mta.types import Collection, IntArray, Scorer


def fitting_bi_encoders(scorers: Sequence[Scorer], student: SentenceTransformer) -> list[EmbeddingScorer]:
    """The bi-encoders whose embeddings are as wide as the student's."""
    dimension = student.get_embedding_dimension()
    bi_encoders = [scorer for scorer in scorers if isinstance(scorer, EmbeddingScorer)]
    return [scorer for scorer in bi_encoders if scorer.dimension == dimension]


def regression_target(
    scorers: Sequence[Scorer], student: SentenceTransformer, quality: Mapping[str, float]
) -> EmbeddingScorer | None:
    """The best of them on the development split, by ``quality``; None where none fits."""
    return max(fitting_bi_encoders(scorers, student), key=lambda scorer: quality[scorer.name], default=None)


def regression_embeddings(target: EmbeddingScorer, collection: Collection) -> dict[str, Embeddings]:
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
