"""The arguments of a distillation: the host's training arguments and the options of the method."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from typing import Any

import torch
from accelerate.utils import DynamoBackend  # type: ignore[import-untyped]
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments
from transformers import Trainer, get_scheduler
from transformers.integrations import get_reporting_integration_callbacks

from st_mta.errors import InputError, loading
from st_mta.ranges import NOT_NEGATIVE, POSITIVE, SEED, SHARE, Range, check_number, count_from
from st_mta.training.one_gpu import OneGpu
from st_mta.training.options import MethodOptions

BELOW_ONE = Range(0, 1, without=(1,))
HOST_RANGES: dict[str, Range] = {
    "per_device_eval_batch_size": count_from(1),
    "gradient_accumulation_steps": count_from(1),
    "weight_decay": NOT_NEGATIVE,
    "adam_beta1": BELOW_ONE,
    "adam_beta2": BELOW_ONE,
    "adam_epsilon": POSITIVE,
    "max_grad_norm": NOT_NEGATIVE,
    "max_steps": count_from(1, besides=(-1,)),
    "warmup_steps": NOT_NEGATIVE,
    "warmup_ratio": SHARE,
    "label_smoothing_factor": SHARE,
    "logging_steps": POSITIVE,
    "save_steps": POSITIVE,
    "eval_steps": POSITIVE,
    "eval_delay": NOT_NEGATIVE,
    "save_total_limit": count_from(1),
    "data_seed": SEED,
    "dataloader_num_workers": count_from(0),
    "dataloader_prefetch_factor": count_from(1),
}
"""What the host's arguments may be; it takes others, and fails or trains nothing with them after the first stages."""
NEEDS_A_MODEL = ("galore", "apollo", "lomo", "layerwise")
"""Words in the names of optimisers that cannot be made for a single weight."""


@dataclass
class MultiAssistantTrainingArguments(MethodOptions, OneGpu, SentenceTransformerTrainingArguments):
    """Arguments of [`MultiAssistantTrainer`]: everything of the host's arguments, and the options of the method.

    The host's arguments describe *one iteration*. They are never changed by a trainer; what is left open here
    (``precision``, ``regression_weight``, ``alpha``, ``scale``) is settled by the run and stands in its journal.
    Values that no training could use raise ``InputError`` when the arguments are made.
    """

    # Defaults of the host that differ: a batch is a set of queries, each with its whole list of candidates.
    logging_steps: float = 10
    save_steps: float = 50
    save_total_limit: int | None = 1
    report_to: None | str | list[str] = "none"
    logging_nan_inf_filter: bool = False  # it waits for every step, and hides what a diverged training is known by

    def __post_init__(self) -> None:
        for name, within in HOST_RANGES.items():
            check_number(name, getattr(self, name, None), within)
        drop_last = self.dataloader_drop_last  # type: ignore[has-type]
        if os.environ.get("WORLD_SIZE", "1") != "1":
            if not torch.cuda.is_available():
                self.use_cpu = True  # else accelerate takes every process on a CPU for a run of its own
            self.dataloader_drop_last = True  # as the host would make it, with a warning; batches are dealt out here
        super().__post_init__()
        self.dataloader_drop_last = drop_last
        self._refuse_noise()
        self._check_accelerate()
        self._check_learning_rates()
        self._check_optimizer()
        with loading("reports that the host can write", f"report_to={self.report_to}", "correct the names"):
            get_reporting_integration_callbacks(self.report_to)

    def _refuse_noise(self) -> None:
        if self.neftune_noise_alpha is not None:
            raise InputError(
                expected="no neftune_noise_alpha",
                got=repr(self.neftune_noise_alpha),
                consequence="the host would fail when training begins: it is for language models only",
                remedy="leave it out",
            )

    def _check_accelerate(self) -> None:
        """What the host hands on unread, to fail when it makes its accelerator."""
        if (backend := self.torch_compile_backend) is not None:
            with loading("a torch_compile_backend that accelerate knows", backend, "correct it, or leave it out"):
                DynamoBackend(backend.upper())
        if isinstance(self.parallelism_config, dict):
            raise InputError(
                expected="no parallelism_config, or one made by accelerate",
                got=repr(self.parallelism_config),
                remedy="leave it out; a distillation runs in one process",
            )

    def _check_learning_rates(self) -> None:
        for pattern, rate in (self.learning_rate_mapping or {}).items():
            with loading("learning_rate_mapping with regular expressions as keys", pattern, "correct the expression"):
                re.compile(pattern)
            check_number(f"learning_rate_mapping of {pattern!r}", rate, NOT_NEGATIVE)

    def _check_optimizer(self) -> None:
        """Makes optimiser and schedule once for a single weight, as the host will at the first training."""
        if any(word in str(self.optim).lower() for word in NEEDS_A_MODEL):
            return
        names = ("optim", "optim_args", "lr_scheduler_type", "lr_scheduler_kwargs")
        given = ", ".join(f"{name}={value}" for name in names if (value := getattr(self, name)))
        with loading("an optimiser and a schedule that the host can make", given, "correct these arguments"):
            maker, options = Trainer.get_optimizer_cls_and_kwargs(self)
            optimizer = maker([torch.nn.Parameter(torch.zeros(1))], **options)
            _schedule(self, optimizer)


def _schedule(arguments: Any, optimizer: torch.optim.Optimizer) -> None:
    get_scheduler(
        arguments.lr_scheduler_type,
        optimizer=optimizer,
        num_warmup_steps=1,
        num_training_steps=10,
        scheduler_specific_kwargs=dict(arguments.lr_scheduler_kwargs or {}),
    )


MultiAssistantTrainingArguments.__doc__ = (
    (MultiAssistantTrainingArguments.__doc__ or "").rstrip()
    + "\n\n    Args:"
    + "".join(
        f"\n        {field.name} (default {field.default!r}): {field.metadata['help']}"
        for field in fields(MethodOptions)
    )
)
