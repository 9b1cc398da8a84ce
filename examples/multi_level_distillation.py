"""MultiLevelDistillationLoss: contrastive, sentence level and word level together, over one forward pass.

Run: python examples/multi_level_distillation.py [MODEL [TEACHER]]
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

from st_mta.losses import AttentionMSELoss, HiddenStateMSELoss, MultiLevelDistillationLoss
from st_mta.scorers import model_path

dataset = Dataset.from_dict(
    {
        "query": ["what do cats eat", "why is the sea blue", "where is the moon", "how fast is a horse"],
        "positive": ["a cat eats fish", "the sea is blue in sun light", "the moon is near", "a horse runs fast"],
        "negative": ["fish is eaten by cats", "the car is blue", "the sun is a star", "a horse drinks water"],
        "label": [[9.1, 9.4], [8.3, -1.0], [5.0, 2.2], [7.9, 1.3]],  # the teacher's raw logits
    }
)
model = SentenceTransformer(sys.argv[1] if len(sys.argv) > 1 else str(model_path("minilm")))
teacher = CrossEncoder(sys.argv[2] if len(sys.argv) > 2 else "cross-encoder/ms-marco-MiniLM-L6-v2")
arguments = SentenceTransformerTrainingArguments(
    "out", num_train_epochs=5, per_device_train_batch_size=4, save_strategy="no", logging_steps=1, report_to="none"
)
word = {
    "attention": AttentionMSELoss(model, teacher=teacher, distance="kl"),
    "hidden": HiddenStateMSELoss(model, teacher=teacher),
}
loss = MultiLevelDistillationLoss(model, word=word, word_weight=0.1, return_components=True)
SentenceTransformerTrainer(model=model, args=arguments, train_dataset=dataset, loss=loss).train()
