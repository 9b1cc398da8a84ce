"""HiddenStateMSELoss: a small bi-encoder takes over the token states of a larger one, layer by layer.

Run: python examples/hidden_states_from_an_assistant.py [MODEL [ASSISTANT]]
"""

from __future__ import annotations

import sys

from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments

from st_mta import prune_layers
from st_mta.losses import HiddenStateMSELoss, KeepLossWeights
from st_mta.scorers import model_path

texts = ["a cat eats fish", "the sea is blue in sun light", "the moon is near", "a horse runs fast"]
dataset = Dataset.from_dict(
    {"query": ["what do cats eat", "why is it blue", "where is it", "how fast"], "text": texts}
)
assistant = SentenceTransformer(sys.argv[2] if len(sys.argv) > 2 else str(model_path("minilm")))
model = prune_layers(sys.argv[1] if len(sys.argv) > 1 else str(model_path("minilm")), keep=[0, 1])
arguments = SentenceTransformerTrainingArguments(
    "out", num_train_epochs=5, per_device_train_batch_size=4, save_steps=2, logging_steps=1, report_to="none"
)
# No labels are needed. Where widths differ, a projection is trained along; it stays with the loss, and KeepLossWeights
# puts it into every checkpoint, so that train(resume_from_checkpoint=True) resumes with it.
loss = HiddenStateMSELoss(model, teacher=assistant, layers="uniform")
SentenceTransformerTrainer(
    model=model, args=arguments, train_dataset=dataset, loss=loss, callbacks=[KeepLossWeights(loss)]
).train()
loss.save_projection("projection.pt")
print(f"The student's layers follow the assistant's: {loss.layers}")
