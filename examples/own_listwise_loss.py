"""A listwise loss of your own, in the host's trainer: ListwiseKLLoss does masks, weights and labels around it.

Run: python examples/own_listwise_loss.py [MODEL]
"""

from __future__ import annotations

import sys

from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from torch import Tensor

from st_mta.losses import ListwiseKLLoss
from st_mta.scorers import model_path


def brier(student_logits: Tensor, target_log_probs: Tensor, mask: Tensor) -> Tensor:
    """Squared error of the student's probabilities: (..., N) three times -> (...)."""
    student = student_logits.masked_fill(~mask, -1e9).softmax(dim=-1)
    return (student - target_log_probs.exp()).square().sum(dim=-1)


dataset = Dataset.from_dict(
    {
        "query": ["what do cats eat", "why is the sea blue", "where is the moon", "how fast is a horse"],
        "positive": ["a cat eats fish", "the sea is blue in sun light", "the moon is near", "a horse runs fast"],
        "negative": ["a cat sleeps", "the car is blue", "the sun is a star", "a horse drinks water"],
        "label": [[9.1, 7.4], [8.3, 6.0], [5.0, 2.2], [7.9, 7.3]],  # a cross-encoder's raw logits
    }
)
model = SentenceTransformer(sys.argv[1] if len(sys.argv) > 1 else str(model_path("minilm")))
arguments = SentenceTransformerTrainingArguments(
    "out", num_train_epochs=5, per_device_train_batch_size=4, save_strategy="no", logging_steps=1, report_to="none"
)
loss = ListwiseKLLoss(model, objective=brier)
SentenceTransformerTrainer(model=model, args=arguments, train_dataset=dataset, loss=loss).train()
