"""What the packages beir and pytrec_eval measure, under the names of our measures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import pytrec_eval
import torch
from beir.datasets.data_loader import GenericDataLoader
from beir.retrieval import evaluation as beir_evaluation
from beir.retrieval import models as beir_models
from beir.retrieval.evaluation import EvaluateRetrieval
from beir.retrieval.search.dense import DenseRetrievalExactSearch
from sentence_transformers import SentenceTransformer

from st_mta.types import Qrels, Run

Texts = dict[str, dict[str, str]]
Values = dict[str, float]
DEPTH = 100


def load_as_beir(folder: str, split: str) -> tuple[Texts, dict[str, str], Qrels]:
    """Corpus (title and text apart), queries and judgements as beir's loader reads them."""
    return GenericDataLoader(data_folder=folder).load(split=split)


def beir_measures(qrels: Qrels, run: Run) -> Values:
    """``EvaluateRetrieval.evaluate``, without its last step, which rounds the means to five decimals."""
    own = {query_id: dict(passages) for query_id, passages in run.items()}  # beir takes passages out of it
    with patch.object(beir_evaluation, "round", lambda value, digits: value, create=True):
        ndcg, average_precision, recall, _ = EvaluateRetrieval.evaluate(qrels, own, [10, DEPTH])
    return {"ndcg@10": ndcg["NDCG@10"], "map": average_precision["MAP@100"], "recall@100": recall["Recall@100"]}


def pytrec_measures(qrels: Qrels, run: Run) -> Values:
    """trec_eval's measures by pytrec_eval, averaged over all judged queries."""
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recip_rank", "map", "recall.100"})
    rows = evaluator.evaluate(run)
    names = {"ndcg@10": "ndcg_cut_10", "mrr@10": "recip_rank", "map": "map", "recall@100": "recall_100"}
    values = {name: np.array([row[theirs] for row in rows.values()]) for name, theirs in names.items()}
    values["mrr@10"][values["mrr@10"] < 0.1 - 1e-9] = 0.0  # trec_eval has no cut-off for the reciprocal rank
    return {name: float(column.sum()) / len(qrels) for name, column in values.items()}


def beir_run(model: SentenceTransformer, corpus: Texts, queries: dict[str, str]) -> Run:
    """Beir's exact search with its own wrapper of a Sentence Transformers model."""
    wrapped = beir_models.SentenceBERT()
    wrapped.q_model = wrapped.doc_model = model
    search = DenseRetrievalExactSearch(wrapped, batch_size=32, show_progress_bar=False)
    return EvaluateRetrieval(search, k_values=[DEPTH], score_function="cos_sim").retrieve(corpus, queries)


@contextmanager
def encoded_once(model: SentenceTransformer) -> Iterator[None]:
    """Inside, the model encodes each distinct input once, whoever asks."""
    known: dict[tuple[str, str], torch.Tensor] = {}
    encode = model.encode

    def remembered(inputs: Any, *args: Any, **options: Any) -> Any:
        as_tensor = options.pop("convert_to_tensor", False)
        prompt = str(options.get("prompt") or options.get("prompt_name"))
        texts = list(dict.fromkeys(text for text in inputs if (prompt, text) not in known))
        if texts:
            fresh = encode(texts, *args, **{**options, "convert_to_tensor": True, "convert_to_numpy": False})
            known.update(zip([(prompt, text) for text in texts], fresh))
        embeddings = torch.stack([known[prompt, text] for text in inputs])
        return embeddings if as_tensor else embeddings.cpu().numpy()

    with patch.object(model, "encode", remembered):
        yield
