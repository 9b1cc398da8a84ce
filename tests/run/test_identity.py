"""Everything is part of a run's identity but what changes no weight."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum
from pathlib import Path

import pytest

from st_mta.run.identity import WITHOUT_EFFECT, _plain
from st_mta.training.arguments import MultiAssistantTrainingArguments

EFFECT = """
    optim adam_beta1 adam_epsilon prompts lr_scheduler_type lr_scheduler_kwargs data_seed learning_rate_mapping seed
    router_mapping dataloader_drop_last batch_sampler gradient_checkpointing label_smoothing_factor weight_decay bf16
    max_steps gradient_accumulation_steps max_grad_norm warmup_steps load_best_model_at_end fp16 tf32 dropout alpha
    num_iterations fusion scale learning_rate batches
""".split()
NONE = "output_dir logging_steps save_steps save_total_limit report_to disable_tqdm hub_token run_name".split()


@pytest.mark.parametrize("name", EFFECT)
def test_what_changes_weights_counts(name):
    assert name in {field.name for field in fields(MultiAssistantTrainingArguments)}
    assert not WITHOUT_EFFECT.fullmatch(name)


@pytest.mark.parametrize("name", NONE)
def test_where_and_what_is_logged_does_not(name):
    assert WITHOUT_EFFECT.fullmatch(name)


def test_values_are_the_same_in_every_process():
    class Colour(Enum):
        RED = "red"

    class Thing:
        def __init__(self):
            self.size, self._hidden = 3, object()

    plain = _plain({"a": (1, 2.5, None), "b": Colour.RED, "c": Path("x/y"), "d": Thing(), "e": sorted, 4: Thing})
    where = f"{__name__}.test_values_are_the_same_in_every_process.<locals>.Thing"
    assert plain == {
        "a": [1, 2.5, None],
        "b": "red",
        "c": "x/y",
        "d": {"class": where, "size": 3},
        "e": "builtins.sorted",
        "4": where,
    }
