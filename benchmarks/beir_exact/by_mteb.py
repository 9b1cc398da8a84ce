"""What the package mteb measures, under the names of our measures."""

from __future__ import annotations

import mteb
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from sentence_transformers import SentenceTransformer

from benchmarks.beir_exact.others import Texts, Values
from st_mta.types import Qrels


def mteb_measures(model: SentenceTransformer, corpus: Texts, queries: dict[str, str], qrels: Qrels) -> Values:
    """Mteb's evaluation of a retrieval task that is in memory."""
    task = local_task(corpus, queries, qrels)
    options = {"batch_size": 32, "show_progress_bar": False}
    result = mteb.evaluate(model, task, encode_kwargs=options, cache=None, co2_tracker=False, show_progress_bar=False)
    scores = result.task_results[0].scores["test"][0]
    names = {"ndcg@10": "ndcg_at_10", "mrr@10": "mrr_at_10", "map": "map_at_100", "recall@100": "recall_at_100"}
    return {name: scores[theirs] for name, theirs in names.items()}


def local_task(corpus: Texts, queries: dict[str, str], qrels: Qrels) -> AbsTaskRetrieval:
    """A task of mteb without a dataset on the Hub."""

    class LocalRetrieval(AbsTaskRetrieval):
        ignore_identical_ids = True  # as mteb has it for the sets of BEIR in which ids coincide
        metadata = TaskMetadata(
            name="LocalRetrieval",
            dataset={"path": "local", "revision": "1"},
            description="A collection in memory.",
            type="Retrieval",
            category="t2t",
            modalities=["text"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )

    task = LocalRetrieval()
    passages = [{"id": key, "title": text.get("title") or "", "text": text["text"]} for key, text in corpus.items()]
    task.dataset = {
        "default": {
            "test": {
                "corpus": Dataset.from_list(passages),
                "queries": Dataset.from_list([{"id": key, "text": text} for key, text in queries.items()]),
                "relevant_docs": {query_id: dict(grades) for query_id, grades in qrels.items()},
                "top_ranked": None,
            }
        }
    }
    task.data_loaded = True
    return task
