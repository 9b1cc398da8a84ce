"""One small run of the whole flow, in this process or killed and resumed in others."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager

import pytest
from transformers import TrainerCallback

from st_mta.scorers import BM25, BiEncoderScorer
from st_mta.stores import Store
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.distillation import Distillation
from st_mta.training.trainer import MultiAssistantTrainer
from tests.tiny import tiny_sentence_transformer


def toy_arguments(output_dir, **changes):
    chosen = {
        "num_iterations": 2,
        "patience": None,
        "num_candidates": 5,
        "regression_epochs": 1.0,
        "per_device_train_batch_size": 8,
        "use_cpu": True,
        "save_steps": 2,
        "logging_steps": 1,
        "disable_tqdm": True,
        "precision": "fp32",
    }
    return MultiAssistantTrainingArguments(str(output_dir), **(chosen | changes))


@contextmanager
def killed(monkeypatch, stage, times=1):
    """Within it a run ends with an error when it comes to a stage (for the ``times``-th time)."""
    work, calls = Distillation.stage, []

    def dying(self, name, *arguments):
        if name.rpartition("/")[2] == stage:
            calls.append(name)
            if len(calls) == times:
                raise RuntimeError("killed")
        return work(self, name, *arguments)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(Distillation, "stage", dying)
        yield


class DieAfter(TrainerCallback):
    """Kills a training in the step after these."""

    def __init__(self, steps):
        self.steps = steps

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.steps + 1:
            raise RuntimeError("killed")


def rewound(finished, folder, stage):
    """A copy of a finished run's folder as it was before a stage of its journal."""
    shutil.copytree(finished, folder)
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    names = list(state["stations"])
    for name in names[names.index(stage) :]:
        del state["stations"][name]
    for copy in (folder / "state.json", folder / "state.json.bak"):
        copy.write_text(json.dumps(state), encoding="utf-8")
    return folder


def toy_trainer(
    output_dir,
    store_folder,
    collection,
    *,
    student=None,
    teacher=None,
    assistants=None,
    loss=None,
    callbacks=(),
    store=None,
    teacher_view=None,
    **changes,
):
    store, precision = store or Store(store_folder), changes.get("precision", "fp32")
    options = {"store": store, "precision": precision}
    if assistants is None:
        assistants = [BiEncoderScorer(tiny_sentence_transformer(3), name="A", **options), BM25(store=store)]
    return MultiAssistantTrainer(
        student or tiny_sentence_transformer(1),
        toy_arguments(output_dir, **changes),
        teacher=teacher or BiEncoderScorer(tiny_sentence_transformer(2), name="T", **options),
        assistants=assistants,
        collection=collection,
        loss=loss,
        callbacks=callbacks,
        store=store,
        teacher_view=teacher_view,
    )
