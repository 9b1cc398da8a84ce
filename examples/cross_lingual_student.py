"""English queries over German passages: the student learns from a teacher that reads the passages in English.

Run: python examples/cross_lingual_student.py [MODEL [LAYERS]]
"""

from __future__ import annotations

import sys

from sentence_transformers import SentenceTransformer

from st_mta import MultiAssistantTrainer, MultiAssistantTrainingArguments, from_dictionaries, prune_layers
from st_mta.collections import View
from st_mta.scorers import model_path
from st_mta.types import Texts

weights = sys.argv[1] if len(sys.argv) > 1 else model_path("minilm")
layers = [int(index) for index in sys.argv[2].split(",")] if len(sys.argv) > 2 else [0, 3, 5]

things = {"cat": "Katze", "dog": "Hund", "bird": "Vogel", "fish": "Fisch", "horse": "Pferd", "tree": "Baum"}
facts = {"eats bread": "isst Brot", "sleeps in the house": "schläft im Haus", "is old": "ist alt", "swims": "schwimmt"}
pairs = [(thing, fact) for thing in things for fact in facts]
english = {f"p{i}": f"the {thing} {fact}" for i, (thing, fact) in enumerate(pairs)}
german = {f"p{i}": f"{things[thing]} {facts[fact]}" for i, (thing, fact) in enumerate(pairs)}
queries = {f"q{i}": f"which {thing} {fact}" for i, (thing, fact) in enumerate(pairs)}
judged = {f"q{i}": {f"p{i}": 1} for i in range(len(pairs))}
test = dict(list(judged.items())[::5])
train = {query_id: passages for query_id, passages in judged.items() if query_id not in test}

trainer = MultiAssistantTrainer(
    model=prune_layers(weights, keep=layers),
    args=MultiAssistantTrainingArguments("out", num_iterations=2, num_candidates=8, per_device_train_batch_size=4),
    teacher=SentenceTransformer(weights),
    teacher_view=View(Texts.from_dict(english)),  # or a folder with corpus.jsonl
    collection=from_dictionaries("german", german, queries, {"train": train, "test": test}),
)
report = trainer.train()
print(f"nDCG@10 {report['student_before']['ndcg@10']:.3f} -> {report['student']['ndcg@10']:.3f}")
