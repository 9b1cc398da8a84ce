"""EmbeddingDistillationLoss: a student takes over the embeddings of two teachers of other widths; texts are enough.

Run: python examples/embedding_distillation_in_a_stock_trainer.py [MODEL [TEACHER TEACHER]]
"""

from __future__ import annotations

import sys

from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments

from st_mta import EmbeddingDistillationLoss, prune_layers
from st_mta.scorers import model_path

dataset = Dataset.from_dict(
    {
        "query": ["what do cats eat", "why is it blue", "where is it", "how fast"],
        "text": ["a cat eats fish", "the sea is blue in sun light", "the moon is near", "a horse runs fast"],
    }
)
teachers = [SentenceTransformer(name) for name in sys.argv[2:] or [str(model_path("minilm"))]]
model = prune_layers(sys.argv[1] if len(sys.argv) > 1 else str(model_path("minilm")), keep=[0, 1])
arguments = SentenceTransformerTrainingArguments(
    "out", num_train_epochs=5, per_device_train_batch_size=4, save_strategy="no", logging_steps=1, report_to="none"
)
# The teachers' embeddings are computed here, once, and a map leads from their dimensions to the student's.
loss = EmbeddingDistillationLoss(model, teachers=teachers, terms={"cosine": 1.0, "gram": 20.0})
dataset = loss.label(dataset)
SentenceTransformerTrainer(model=model, args=arguments, train_dataset=dataset, loss=loss).train()

# The map leads back too: the student's queries search an index of the teachers' embeddings.
loss.save_map("out")
queries = loss.to_teacher(model.encode_query(dataset["query"][:]))
print(f"{len(queries)} queries, {queries.shape[1]} dimensions of the teachers, {model.get_embedding_dimension()} own.")
