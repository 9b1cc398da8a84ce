"""A student of word pieces learns from a teacher of bytes, and has learned something about texts it has not seen."""

from __future__ import annotations

import random

import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments

from st_mta.losses import AttentionMSELoss, HiddenStateMSELoss
from tests.losses.word_level.bpe import bpe_cross_encoder
from tests.tiny import WORDS

LOSSES = {
    "attention": lambda student, teacher: AttentionMSELoss(
        student, teacher=teacher, variant="interaction", distance="kl"
    ),
    "hidden": lambda student, teacher: HiddenStateMSELoss(student, teacher=teacher),
}


def texts(seed, number):
    """Queries and passages of words, some of which the teacher spells in several tokens."""
    source = random.Random(seed)
    return [[" ".join(source.choices(WORDS, k=length)) for _ in range(number)] for length in (4, 8)]


@torch.no_grad()
def distance(loss, student, held_out):
    """Mean over other texts of the distance that the loss measures."""
    student.eval()
    return loss([student.preprocess(column) for column in held_out]).item()


@pytest.mark.parametrize("kind", LOSSES)
def test_the_loss_falls_and_other_texts_come_nearer_too(student, tmp_path, kind):
    torch.manual_seed(0)
    loss = LOSSES[kind](student, bpe_cross_encoder())
    queries, passages = texts(0, 64)
    held_out = texts(1, 32)
    assert not set(held_out[0]) & set(queries) and not set(held_out[1]) & set(passages)
    before = distance(loss, student, held_out)
    arguments = SentenceTransformerTrainingArguments(
        str(tmp_path),
        num_train_epochs=8,
        per_device_train_batch_size=16,
        learning_rate=3e-3,
        logging_steps=4,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    dataset = Dataset.from_dict({"query": queries, "positive": passages})
    trainer = SentenceTransformerTrainer(model=student, args=arguments, train_dataset=dataset, loss=loss)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < 0.9 * losses[0]
    assert distance(loss, student, held_out) < 0.95 * before
    assert loss.coverage.item() > 0.99
