"""A service as the teacher: a function of yours, which is asked for every pair once.

Run: python examples/a_service_as_teacher.py [MODEL]
"""

from __future__ import annotations

import sys

from st_mta import BM25, MultiAssistantTrainer, MultiAssistantTrainingArguments, from_dictionaries, prune_layers
from st_mta.scorers import FunctionScorer, model_path

asked: list[int] = []


def rerank(queries: list[str], passages: list[str]) -> list[float]:
    """Call your service here, with its retries and its rate limit; this stand-in counts words in common."""
    asked.append(len(queries))
    return [4.0 * len({*query.split()} & {*passage.split()}) for query, passage in zip(queries, passages)]


weights = sys.argv[1] if len(sys.argv) > 1 else model_path("minilm")
things = ["cat", "dog", "bird", "fish", "horse", "car"]
facts = ["eats bread", "sleeps in the house", "is red and old", "drinks water"]
corpus = {f"{thing}-{i}": f"the {thing} {fact}" for thing in things for i, fact in enumerate(facts)}
queries = {f"q-{passage_id}": f"which {text.removeprefix('the ')}" for passage_id, text in corpus.items()}
positives = {query_id: {query_id.removeprefix("q-"): 1} for query_id in queries}

for folder in ("out", "again"):
    asked.clear()
    report = MultiAssistantTrainer(
        model=prune_layers(weights, keep=[0, 2]),
        args=MultiAssistantTrainingArguments(
            folder, num_iterations=1, num_candidates=4, per_device_train_batch_size=8
        ),
        teacher=FunctionScorer(rerank, name="service", version="2026-01"),  # 32 pairs a call: part_size=...
        assistants=[BM25()],
        collection=from_dictionaries("facts", corpus, queries, {"train": positives}),
    ).train()
    print(f"{folder}: {sum(asked)} pairs in {len(asked)} calls, nDCG@10 {report['student']['ndcg@10']:.3f}")
