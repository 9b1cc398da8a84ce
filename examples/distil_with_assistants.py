"""The whole method on texts of your own: a teacher, two assistants, and a student of fewer layers.

Run: python examples/distil_with_assistants.py [MODEL [LAYERS]]
"""

from __future__ import annotations

import sys

from sentence_transformers import SentenceTransformer

from st_mta import BM25, MultiAssistantTrainer, MultiAssistantTrainingArguments, from_dictionaries, prune_layers
from st_mta.scorers import model_path

weights = sys.argv[1] if len(sys.argv) > 1 else model_path("minilm")
layers = [int(index) for index in sys.argv[2].split(",")] if len(sys.argv) > 2 else [0, 3, 5]

things = ["cat", "dog", "bird", "fish", "horse", "tree", "car", "train", "ship", "plane"]
facts = ["eats bread", "sleeps in the house", "is red and old", "runs fast on the road", "drinks water"]
corpus = {f"{thing}-{i}": f"the {thing} {fact}" for thing in things for i, fact in enumerate(facts)}
queries = {f"q-{passage_id}": f"which {text.removeprefix('the ')}" for passage_id, text in corpus.items()}
positives = {query_id: {query_id.removeprefix("q-"): 1} for query_id in queries}
test = dict(list(positives.items())[::5])
train = {query_id: judged for query_id, judged in positives.items() if query_id not in test}

trainer = MultiAssistantTrainer(
    model=prune_layers(weights, keep=layers),
    args=MultiAssistantTrainingArguments(
        "out", num_iterations=2, patience=None, num_candidates=4, per_device_train_batch_size=8
    ),
    teacher=SentenceTransformer(weights),
    assistants=[f"late-interaction:{weights}", BM25()],  # and their fusion
    collection=from_dictionaries("facts", corpus, queries, {"train": train, "test": test}),
)
report = trainer.train()
for iteration in report["iterations"]:
    print(f"Iteration {iteration['iteration']}: selected {iteration['selected']}")
print(f"nDCG@10 {report['student_before']['ndcg@10']:.3f} -> {report['student']['ndcg@10']:.3f}")
