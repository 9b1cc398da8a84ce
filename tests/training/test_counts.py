"""Texts through the student are counted, however its features hold them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer

from st_mta.training.checkpoints import StageTrainer
from tests.scorers.test_no_tokens import static
from tests.tiny import tiny_sentence_transformer


@pytest.mark.parametrize("student", [static(), tiny_sentence_transformer()], ids=["static", "transformer"])
def test_texts_are_counted_not_their_tokens(student: SentenceTransformer, monkeypatch):
    features = [
        student.preprocess(["cat dog bird fish", "sun"]),
        student.preprocess(["the sea", "moon", "a dog runs"]),
    ]
    monkeypatch.setattr(SentenceTransformerTrainer, "collect_features", lambda self, inputs: (features, None))
    trainer = StageTrainer.__new__(StageTrainer)
    trainer.sequences, trainer.model = 0, SimpleNamespace(training=True)
    trainer.collect_features({})
    assert trainer.sequences == 5
