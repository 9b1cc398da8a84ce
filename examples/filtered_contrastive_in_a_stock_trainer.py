"""FilteredContrastiveLoss: negatives that the teacher takes for relevant are left out, more of them in every epoch.

Run: python examples/filtered_contrastive_in_a_stock_trainer.py [MODEL]
"""

from __future__ import annotations

import sys

from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments

from st_mta import DynamicFilter
from st_mta.losses import FilteredContrastiveLoss, FilterSchedule
from st_mta.scorers import model_path

dataset = Dataset.from_dict(
    {
        "query": ["what do cats eat", "why is the sea blue", "where is the moon", "how fast is a horse"],
        "positive": ["a cat eats fish", "the sea is blue in sun light", "the moon is near", "a horse runs fast"],
        "negative_1": ["fish is eaten by cats", "the car is blue", "the sun is a star", "a horse drinks water"],
        "negative_2": ["the train is slow", "bread is good", "dogs swim", "the wind is cold"],
        # A cross-encoder's raw logits for (positive, negative_1, negative_2): the first negative is relevant, too.
        "label": [[9.1, 9.4, -8.2], [8.3, -1.0, -9.5], [5.0, 2.2, -7.7], [7.9, 7.3, -6.4]],
    }
)
model = SentenceTransformer(sys.argv[1] if len(sys.argv) > 1 else str(model_path("minilm")))
arguments = SentenceTransformerTrainingArguments(
    "out", num_train_epochs=5, per_device_train_batch_size=4, save_strategy="no", logging_steps=1, report_to="none"
)
# A negative may score as much as the positive in the first epoch, and no more than 90% of that from the third on.
margins = DynamicFilter(relative_margin=[0.0, 0.05, 0.1])
loss = FilteredContrastiveLoss(model, filter=margins, return_components=True)
SentenceTransformerTrainer(
    model=model, args=arguments, train_dataset=dataset, loss=loss, callbacks=[FilterSchedule(loss)]
).train()
print(f"{loss.filter_rate:.0%} of the judged negatives are filtered at the end.")
