"""Trainings by several processes that are killed, stopped, evaluated and resumed."""

from __future__ import annotations

import os
import signal
from dataclasses import asdict

import torch
from sentence_transformers.base.evaluation import BaseEvaluator
from transformers import TrainerCallback

from st_mta.errors import InputError
from st_mta.processes import processes
from st_mta.run.stopping import Stopped, stopping_on_sigterm
from st_mta.training.marked import MarkComplete
from st_mta.training.several import LedEvaluator
from st_mta.training.sharing import SharingBatchSampler
from tests.training.two_processes import train_lists

LONG = {
    "num_queries": 40,
    "max_steps": 6,  # three for an epoch
    "optim": "adamw_torch",
    "learning_rate": 1e-3,
    "dropout": 0.1,
    "save_strategy": "steps",
    "save_steps": 1,
    "save_total_limit": 2,
    "batch_sampler": SharingBatchSampler,
}
"""Of every training here: with dropout, an optimiser with moments, and weights of the loss ("terms")."""


class At(TrainerCallback):
    """Acts when a step of this number begins."""

    def __init__(self, step, act):
        self.step, self.act = step, act

    def on_step_begin(self, args, state, control, **_):
        if state.global_step == self.step:
            self.act()


class Killed(Exception):
    """Instead of a signal that ends all processes."""


def kill():
    raise Killed


def long_training(folder, *callbacks, **changes):
    """Weights of student and loss, and what is counted."""
    hosted = {"callbacks": callbacks, **changes.pop("hosted", {})}
    student, loss, done = train_lists(f"{folder}/checkpoints", 2, "terms", hosted=hosted, **(LONG | changes))
    weights = {**student.state_dict(), **{k: v for k, v in loss.state_dict().items() if "projection" in k}}
    return {key: value.clone() for key, value in weights.items()}, asdict(done)


def attempt(folder, *callbacks, **changes):
    """The name of what ended it, or the training's result."""
    try:
        return long_training(folder, *callbacks, **changes)
    except (Killed, Stopped, InputError) as error:
        return f"{type(error).__name__}: {error}"


def killed_while_saving(folder):
    """All files of step 4 are there, but not the mark."""
    mark, MarkComplete.on_save = MarkComplete.on_save, fail_at_4(MarkComplete.on_save)
    try:
        return attempt(folder)
    finally:
        MarkComplete.on_save = mark


def fail_at_4(save):
    def on_save(self, args, state, control, **more):
        if state.global_step == 4:
            raise Killed
        save(self, args, state, control, **more)

    return on_save


def asked_on_rank_1():
    if processes().rank == 1:
        os.kill(os.getpid(), signal.SIGTERM)


def stopped(folder):
    with stopping_on_sigterm():
        return attempt(folder, At(2, asked_on_rank_1), save_steps=100)


class Peak(BaseEvaluator):
    """Best at step 3; counts where it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def __call__(self, model, output_path=None, epoch=-1, steps=-1):
        self.asked += 1
        embeddings = model.encode(["the cat", "a dog runs fast", "the sun"], show_progress_bar=False)
        assert embeddings.shape == (3, 32)
        return {"height": -abs(steps - 3.0)}


BEST = {
    "eval_strategy": "steps",
    "eval_steps": 1,
    "load_best_model_at_end": True,
    "metric_for_best_model": "eval_height",
    "greater_is_better": True,
}


def evaluated(folder):
    evaluator = Peak()
    weights, _ = long_training(folder, hosted={"evaluator": evaluator}, **BEST)
    led = Peak()
    values = LedEvaluator(led)(torch.nn.Module() if processes().rank else _Encodes(), steps=5)
    return weights, evaluator.asked, led.asked, values


class _Encodes:
    def encode(self, texts, **_):
        return torch.zeros(len(texts), 32)


def all_of_it(rank, num_processes, folder):
    """Saves what came of each."""
    found = {"whole": long_training(f"{folder}/whole")}
    for name, ending in {
        "killed": lambda at: attempt(at, At(4, kill)),
        "while saving": killed_while_saving,
        "stopped": stopped,
    }.items():
        found[f"{name} at"] = ending(f"{folder}/{name}")
        found[name] = attempt(f"{folder}/{name}")
    found["left"] = attempt(f"{folder}/left", At(3, kill))  # for another number of processes
    found["of one"] = attempt(f"{folder}/of one")
    found["best"] = evaluated(f"{folder}/best")
    torch.save(found, f"{folder}/killed-{rank}.pt")
