"""Search and measure 2,000 queries by 100,000 passages with embeddings given, beside the host's evaluator."""

from __future__ import annotations

import statistics
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.util import cos_sim

from st_mta.collections import from_dictionaries
from st_mta.evaluation import evaluate_scorer
from st_mta.search.backends import exact_search
from st_mta.search.corpus import search_corpus
from st_mta.stores.embeddings import Embeddings
from st_mta.types import Collection, FloatArray, IntArray, Retrieved, Scorer, Texts

DEPTH = 100


class Given(Scorer):
    """A bi-encoder whose embeddings are at hand.

    Args:
        queries: (Q, D) of unit length.
        corpus: (n, D) of unit length.
    """

    name, kind, can_retrieve, fingerprint = "given", "bi-encoder", True, "given"

    def __init__(self, queries: FloatArray, corpus: FloatArray) -> None:
        self.queries, self.corpus = in_memory(queries), in_memory(corpus)

    def score(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """Not needed here."""
        raise NotImplementedError

    def retrieve(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Retrieved:
        """As of ``BiEncoderScorer``."""
        search = exact_search(self.corpus, torch.device("cpu"))
        scores, positions = search_corpus(self.queries, self.corpus, k, search)
        return Retrieved(query_positions, positions, scores)


def in_memory(rows: FloatArray) -> Embeddings:
    """An array as one block of embeddings."""
    return Embeddings((rows,), np.zeros(len(rows), dtype=np.int64), np.arange(len(rows), dtype=np.int64))


def compare(
    num_queries: int = 2000, num_passages: int = 100_000, dimension: int = 384, repeats: int = 5
) -> dict[str, Any]:
    """Seconds of both, alternating; their ratio; and both sets of measures."""
    collection, queries, corpus = synthetic(num_queries, num_passages, dimension)
    seconds: dict[str, list[float]] = {"stock": [], "st_mta": []}
    for _ in range(repeats):
        start = time.perf_counter()
        stock = stock_measures(collection, queries, corpus)
        seconds["stock"].append(time.perf_counter() - start)
        start = time.perf_counter()
        measures = evaluate_scorer(Given(queries, corpus), collection, "test", depth=DEPTH)[1]
        seconds["st_mta"].append(time.perf_counter() - start)
        print({side: round(values[-1], 2) for side, values in seconds.items()}, flush=True)
    medians = {side: statistics.median(values) for side, values in seconds.items()}
    pairs = {"ndcg@10": "cosine_ndcg@10", "mrr@10": "cosine_mrr@10", "recall@100": "cosine_recall@100"}
    return {
        "queries": num_queries,
        "passages": num_passages,
        "seconds": medians,
        "times_faster": medians["stock"] / medians["st_mta"],
        "measures": {ours: [measures[ours], float(stock[theirs])] for ours, theirs in pairs.items()},
    }


def synthetic(num_queries: int, num_passages: int, dimension: int) -> tuple[Collection, FloatArray, FloatArray]:
    """Random unit vectors; a query lies near its one relevant passage."""
    random = np.random.default_rng(0)
    corpus = unit(random.standard_normal((num_passages, dimension), dtype=np.float32))
    relevant = random.choice(num_passages, num_queries, replace=False)
    queries = unit(corpus[relevant] + 0.25 * random.standard_normal((num_queries, dimension), dtype=np.float32))
    passages = {f"p{i:07d}": f"passage {i}" for i in range(num_passages)}
    texts = {f"q{i:05d}": f"query {i}" for i in range(num_queries)}
    qrels = {f"q{i:05d}": {f"p{passage:07d}": 1} for i, passage in enumerate(relevant)}
    return from_dictionaries("synthetic", passages, texts, {"test": qrels}), queries, corpus


def unit(rows: FloatArray) -> FloatArray:
    """Rows of length one."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def stock_measures(collection: Collection, queries: FloatArray, corpus: FloatArray) -> dict[str, float]:
    """The host's evaluator with the same depth, given the same embeddings."""
    evaluator = InformationRetrievalEvaluator(
        dict(zip(collection.queries.ids, collection.queries.ids)),
        dict(zip(collection.corpus.ids, collection.corpus.ids)),
        {query_id: set(judged) for query_id, judged in collection.qrels["test"].items()},
        ndcg_at_k=[10],
        mrr_at_k=[10],
        map_at_k=[DEPTH],
        accuracy_at_k=[10],
        precision_recall_at_k=[DEPTH],
        score_functions={"cosine": cos_sim},
        write_csv=False,
    )
    model = SimpleNamespace(
        encode_query=lambda texts, **_: torch.from_numpy(queries),
        model_card_data=SimpleNamespace(set_evaluation_metrics=lambda *_, **__: None),
    )
    return evaluator(model, corpus_embeddings=torch.from_numpy(corpus))
