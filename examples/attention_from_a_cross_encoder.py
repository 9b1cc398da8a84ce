"""AttentionMSELoss: a bi-encoder learns from a cross-encoder which words of query and passage belong together.

Run: python examples/attention_from_a_cross_encoder.py [MODEL [TEACHER]]
"""

from __future__ import annotations

import sys

from datasets import Dataset
from sentence_transformers import (
    CrossEncoder,
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)

from st_mta.losses import AttentionMSELoss
from st_mta.scorers import model_path

dataset = Dataset.from_dict(
    {
        "query": ["what do cats eat", "why is the sea blue", "where is the moon", "how fast is a horse"],
        "positive": ["a cat eats fish", "the sea is blue in sun light", "the moon is near", "a horse runs fast"],
    }
)
model = SentenceTransformer(sys.argv[1] if len(sys.argv) > 1 else str(model_path("minilm")))
# The teacher may have other layers, heads, widths and even another tokenizer.
teacher = CrossEncoder(sys.argv[2] if len(sys.argv) > 2 else "cross-encoder/ms-marco-MiniLM-L6-v2")
arguments = SentenceTransformerTrainingArguments(
    "out", num_train_epochs=5, per_device_train_batch_size=4, save_strategy="no", logging_steps=1, report_to="none"
)
loss = AttentionMSELoss(model, teacher=teacher, variant="interaction", distance="kl")
SentenceTransformerTrainer(model=model, args=arguments, train_dataset=dataset, loss=loss).train()
print(f"{loss.coverage:.0%} of the student's tokens found their counterpart.")
