"""Several processes that train together: a loss's own weights, one evaluation, and what is refused."""

from __future__ import annotations

from typing import Any

from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.evaluation import BaseEvaluator, SequentialEvaluator
from sentence_transformers.util import distributed as host
from torch import nn

from st_mta.errors import InputError
from st_mta.losses.list_loss import ListLoss
from st_mta.losses.projection import share_gradients_of, share_weights_of
from st_mta.processes import processes
from st_mta.training.students import routes_of

GATHER = "gather_across_devices"


def make_common(loss: nn.Module, student: nn.Module) -> None:
    """Prepares a loss for a batch that is spread over processes; does nothing in a single one.

    Its own weights become those of rank 0 and get the mean of all gradients (the host does both for the student
    alone), and what compares a batch's texts with each other compares those of all processes.
    """
    if processes().size == 1:
        return
    of_student = {id(tensor) for tensor in (*student.parameters(), *student.buffers())}
    own = [tensor for tensor in (*loss.parameters(), *loss.buffers()) if id(tensor) not in of_student]
    share_weights_of(own)
    share_gradients_of(tensor for tensor in own if tensor.requires_grad)
    for part in loss.modules():
        if isinstance(part, ListLoss) and hasattr(part, GATHER):
            setattr(part, GATHER, True)


class LedEvaluator(BaseEvaluator):
    """An evaluator that rank 0 runs, and whose values all processes get.

    Args:
        evaluator: Any of the host's.
    """

    def __init__(self, evaluator: BaseEvaluator) -> None:
        super().__init__()
        self.evaluator = evaluator
        self.greater_is_better = evaluator.greater_is_better
        self.primary_metric = evaluator.primary_metric

    def __call__(self, *given: Any, **named: Any) -> Any:
        """The values, on every rank."""
        return processes().on_leader(lambda: self.evaluator(*given, **named))


def evaluated_once(evaluator: Any) -> Any:
    """The evaluator, or list of them, as the host's trainer needs it, so that it is not run by every process.

    Later versions of the host than 6.0 do this by themselves, and have the other processes help to encode.
    """
    if evaluator is None or processes().size == 1 or hasattr(host, "distributed_evaluation"):
        return evaluator
    return LedEvaluator(SequentialEvaluator(evaluator) if isinstance(evaluator, list) else evaluator)


def refuse_other_dealing(args: Any) -> None:
    """Raises ``InputError`` where accelerate would cut or join batches, of which only this package knows the parts."""
    dealing = args.accelerator_config
    if args.world_size > 1 and (dealing.split_batches or dealing.dispatch_batches):
        raise InputError(
            expected="batches that this package deals out to the processes",
            got=f"accelerator_config with split_batches={dealing.split_batches}, "
            f"dispatch_batches={dealing.dispatch_batches}",
            consequence="batches would be cut or put together without the numbers by which a list finds its passages",
            remedy="leave both out of accelerator_config",
        )


def refuse_router(student: SentenceTransformer | CrossEncoder, args: Any) -> None:
    """Raises ``InputError`` for a Router: DDP takes a tower for unused that the last forward did not use."""
    if args.world_size > 1 and routes_of(student, args.router_mapping):
        raise InputError(
            expected=f"a student whose texts all go through the same weights, for {args.world_size} processes",
            got="one with a Router",
            consequence="its training would end in the first step",
            remedy="train it by one process, without torchrun or accelerate launch",
        )
