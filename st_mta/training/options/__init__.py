"""The options of the method, each written once: the trainer's arguments and the command line are made from them."""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.checked import check_fields
from st_mta.training.options.candidates import SIMILARITY, SIMILARITY_MARGIN, CandidateOptions
from st_mta.training.options.flow import FlowOptions
from st_mta.training.options.groups import CANDIDATES, FLOW, LOSS, MACHINE, STEPS, TARGETS, WARM_UP
from st_mta.training.options.loss import LossOptions
from st_mta.training.options.machine import MachineOptions
from st_mta.training.options.queries import QueryOptions
from st_mta.training.options.regression import RegressionOptions
from st_mta.training.options.steps import StepOptions
from st_mta.training.options.targets import TargetOptions
from st_mta.training.options.windows import WindowOptions

__all__ = [
    "CANDIDATES",
    "FLOW",
    "LOSS",
    "MACHINE",
    "MethodOptions",
    "SIMILARITY",
    "SIMILARITY_MARGIN",
    "STEPS",
    "TARGETS",
    "WARM_UP",
]


# Fields come in the reverse order of the bases: --help begins with the flow.
@dataclass(kw_only=True)
class MethodOptions(
    MachineOptions,
    StepOptions,
    LossOptions,
    TargetOptions,
    RegressionOptions,
    WindowOptions,
    QueryOptions,
    CandidateOptions,
    FlowOptions,
):
    """Options of a distillation; ``num_train_epochs``, ``learning_rate`` and the like describe *one iteration*."""

    def __post_init__(self) -> None:
        check_fields(self)
        self._check_ranks()
        self._check_scores()
        self._check_loss()
        self._check_filter()
        self._check_generation()
        self._check_windows()
        self._check_regression()
        self._check_teacher()
        if (parent := getattr(super(), "__post_init__", None)) is not None:  # the host's arguments
            parent()
