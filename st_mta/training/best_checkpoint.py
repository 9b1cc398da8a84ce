"""``load_best_model_at_end``: which measure decides, and what the choice depends on."""

from __future__ import annotations

from typing import Any

from sentence_transformers.base.evaluation import BaseEvaluator

from st_mta.errors import InputError
from st_mta.evaluation import CollectionEvaluator
from st_mta.training.arguments import MultiAssistantTrainingArguments

PREFIX = "eval_"


def refuse_unknown_metric(arguments: MultiAssistantTrainingArguments, evaluator: BaseEvaluator | None) -> None:
    """Raises ``InputError`` where the best checkpoint is asked for by a measure that no evaluation gives.

    There is no loss on development data, which the host would take by default: candidates and the teacher's scores
    exist for training queries only.

    Args:
        arguments: Of the run.
        evaluator: Runs during training; None where nothing is evaluated.
    """
    metric = arguments.metric_for_best_model
    if not (arguments.load_best_model_at_end or str(arguments.save_strategy) in ("best", "SaveStrategy.BEST")):
        return
    known = _known(evaluator)
    name = (metric or "nothing").removeprefix(PREFIX)
    if metric is None or name == "loss" or (known and name not in known):
        example = f"{PREFIX}{known[0]}" if known else "a value of the evaluator given"
        raise InputError(
            expected="metric_for_best_model to name a value of the evaluation during training",
            got=repr(metric),
            consequence="training would fail when the first checkpoint is compared",
            remedy=f"set metric_for_best_model={example!r} and greater_is_better=True, or leave out "
            "load_best_model_at_end: the best iteration is kept in any case",
        )


def what_a_best_checkpoint_depends_on(
    arguments: MultiAssistantTrainingArguments, evaluator: BaseEvaluator | None
) -> dict[str, Any]:
    """What is part of a run's identity where its students are chosen among checkpoints; empty elsewhere."""
    if not arguments.load_best_model_at_end:
        return {}
    return {
        "save_steps": arguments.save_steps,
        "save_strategy": str(arguments.save_strategy),
        "evaluator": _described(evaluator),
    }


def _known(evaluator: BaseEvaluator | None) -> list[str]:
    if not isinstance(evaluator, CollectionEvaluator):
        return []
    return [f"{evaluator.name}_{measure}" if evaluator.name else measure for measure in evaluator.measures]


def _described(evaluator: Any) -> list[Any]:
    """Class, numbers and words of an evaluator, and the data it evaluates on where that has a fingerprint."""
    kept = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in sorted(vars(evaluator).items())
        if isinstance(value, (bool, int, float, str, tuple)) and name != "primary_metric"  # some set it when called
    }
    data = getattr(getattr(evaluator, "collection", None), "fingerprint", None)
    return [f"{type(evaluator).__module__}.{type(evaluator).__qualname__}", kept, data]
