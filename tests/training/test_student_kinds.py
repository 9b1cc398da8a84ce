"""A student stays what it is: trained, killed, resumed, saved and loaded again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from st_mta.scorers import BiEncoderScorer
from st_mta.training.checkpoints import StageTrainer
from st_mta.training.distillation import Distillation
from st_mta.training.students import loaded_again
from tests.tiny import tiny_sentence_transformer
from tests.training.student_kinds import STUDENTS
from tests.training.toy_run import toy_arguments

SHORT = {"num_iterations": 1, "regression_batch_size": 40, "per_device_train_batch_size": 24, "save_steps": 1}
RATES = {"learning_rate": 1e-2, "regression_learning_rate": 1e-2, "regression_epochs": 2.0, "eval_depth": 10}
UNMOVED = (".pooler.", ".lora_A.")
"""A layer of the backbones that no embedding passes through, and one whose gradient is zero in the first step."""
KINDS = ["T5", "decoder", "decoder with LoRA"]
"""Those that no other test of the flow sees."""
DIED = "killed at a step"


def run_of(folder, collection, student):
    """A warm-up and one iteration."""
    models = tiny_sentence_transformer(2), tiny_sentence_transformer(3)
    teacher, assistant = (BiEncoderScorer(model, name=name, precision="fp32") for model, name in zip(models, "TA"))
    arguments = toy_arguments(folder, **SHORT, **RATES)
    return Distillation.prepare(student, arguments, teacher, [assistant], collection, store=folder.parent / "store")


def kill_at(monkeypatch, step):
    """The process ends before a step, counted over all trainings."""
    train, done = StageTrainer.training_step, []

    def dying(self, *given, **named):
        done.append(step)
        if len(done) == step:
            raise RuntimeError(DIED)
        return train(self, *given, **named)

    monkeypatch.setattr(StageTrainer, "training_step", dying)


def students(run):
    folders = [run.folder.root / name / "student" for name in ("warm-up", "iteration-00")]
    return folders, [run.students.load(folder) for folder in folders]


def trainable(model):
    return [name for name, weight in model.named_parameters() if weight.requires_grad]


@pytest.mark.parametrize("kind", KINDS)
def test_a_student_stays_what_it_is(kind, tmp_path, toy_collection, monkeypatch):
    make = STUDENTS[kind]
    before, whole = make(), run_of(tmp_path / "whole", toy_collection, make())
    whole.learn()
    with monkeypatch.context() as patch:
        kill_at(patch, 7)  # in the iteration; the warm-up has six steps
        with pytest.raises(RuntimeError, match=DIED):
            run_of(tmp_path / "killed", toy_collection, make()).learn()
    resumed = run_of(tmp_path / "killed", toy_collection, make())
    resumed.learn()
    folders, trained = students(whole)
    for folder, one, other in zip(folders, trained, students(resumed)[1]):
        assert one.state_dict().keys() == before.state_dict().keys()
        assert all(torch.equal(one.state_dict()[name], weight) for name, weight in other.state_dict().items())
        assert trainable(one) == trainable(before)
        rested = {name for name, weight in one.named_parameters() if torch.equal(weight, before.get_parameter(name))}
        frozen = set(dict(one.named_parameters())) - set(trainable(before))
        assert frozen <= rested
        assert not [name for name in rested - frozen if not any(part in name for part in UNMOVED)]
        loaded = loaded_again(before, folder)
        for encode in ("encode_query", "encode_document"):
            ours, theirs = (getattr(model, encode)(["a cat", "bread"]) for model in (one, loaded))
            assert np.allclose(ours, theirs, atol=1e-6)
        assert bool(list(folder.glob("adapter_config.json"))) == ("LoRA" in kind)
