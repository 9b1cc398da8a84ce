"""Several GPUs in sight of one process: one is used, the batch stays what was asked for, and a sentence says so."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch
from datasets import Dataset
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from st_mta.recipes.tune import TuningSettings, tune
from st_mta.training import one_gpu
from st_mta.training.arguments import MultiAssistantTrainingArguments
from tests.tiny import tiny_sentence_transformer


@pytest.fixture
def four_gpus(monkeypatch):
    """As the host counts them; there is none to compute on."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    one_gpu._say_so.cache_clear()


def test_one_gpu_is_used_and_the_batch_is_not_multiplied(four_gpus, tmp_path, caplog):
    arguments = MultiAssistantTrainingArguments(str(tmp_path), per_device_train_batch_size=8)
    assert (arguments.n_gpu, arguments.train_batch_size, arguments.eval_batch_size) == (1, 8, 8)
    assert replace(arguments, num_train_epochs=2).n_gpu == 1
    (said,) = caplog.records
    assert said.levelname == "WARNING"
    assert "4 GPUs" in said.message and "torchrun --nproc_per_node 4" in said.message


@pytest.mark.parametrize("seen", [0, 1])
def test_nothing_is_said_where_there_is_no_choice(monkeypatch, tmp_path, caplog, seen):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: seen)
    assert MultiAssistantTrainingArguments(str(tmp_path)).n_gpu == seen
    assert "torchrun" not in caplog.text


def test_tuning_uses_one_gpu(four_gpus, tmp_path, monkeypatch, caplog):
    seen = []

    def train(trainer, **_):
        seen.append((trainer.args.n_gpu, trainer.args.train_batch_size))
        pickle.dumps(trainer.args)  # as the host keeps them beside a checkpoint
        raise InterruptedError

    monkeypatch.setattr("sentence_transformers.SentenceTransformerTrainer.train", train)
    model = tiny_sentence_transformer()
    monkeypatch.setattr(type(model), "device", torch.device("meta"))  # anything but a CPU, where the host counts none
    dataset = Dataset.from_dict({"query": ["cat"], "positive": ["the cat"]})
    with pytest.raises(InterruptedError):
        tune(model, dataset, MultipleNegativesRankingLoss(model), TuningSettings(batch_size=8), tmp_path)
    assert seen == [(1, 8)]
    assert "one of them." in caplog.text and "torchrun" not in caplog.text, "which would not help"
