"""Commands under torchrun and accelerate launch: which verbs share their work, and which rank 0 does alone."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from st_mta.errors import InputError

Result = TypeVar("Result")

SHARES, TRAINS, ALONE = "shares", "trains", "alone"
HOW: Mapping[str, str] = {
    "quickstart": TRAINS,
    "distill": TRAINS,
    "cycle": TRAINS,
    "recipes": ALONE,
    "evaluate": SHARES,
    "score": SHARES,
    "encode": SHARES,
    "mine": SHARES,
    "import": ALONE,
    "teacher": ALONE,
    "assistants": ALONE,
    "diagnose": SHARES,
    "report": ALONE,
    "push": ALONE,
    "push-scores": ALONE,
    "cache": ALONE,
}
"""What several processes do with each verb.

- shares: rank 0 runs the command, the others compute parts of scores and blocks of embeddings for it.
- trains: every rank runs the command, which sees to it that rank 0 alone decides, writes and prints.
- alone: rank 0 runs the command as if it had been started without a launcher, the others end at once.
"""
SET_BY_LAUNCHERS = (
    "RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE NODE_RANK GROUP_RANK GROUP_WORLD_SIZE ROLE_RANK ROLE_WORLD_SIZE "
    "ROLE_NAME MASTER_ADDR MASTER_PORT ACCELERATE_USE_DEEPSPEED ACCELERATE_USE_FSDP ACCELERATE_USE_MEGATRON_LM"
).split()
PREFIX = "TORCHELASTIC_"


@dataclass(frozen=True)
class Launch:
    """What a launcher says about this process.

    Attributes:
        rank: From 0.
        size: Number of processes.
        local_rank: From 0 on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Launch:
        """What the variables RANK, WORLD_SIZE and LOCAL_RANK say; one process where they say nothing."""
        try:
            rank, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
            local_rank = int(environment.get("LOCAL_RANK", "0"))
        except (KeyError, ValueError):
            return cls()
        return cls(rank, size, local_rank) if 0 <= rank < size else cls()

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def alone(self, arguments: Sequence[str]) -> bool:
        """Whether rank 0 does without the others: also where it only shows help, or knows no such verb."""
        if self.size == 1 or asks_for_help(arguments) or asks_for_a_plan(arguments):
            return True
        return HOW.get("".join(arguments[:1]), ALONE) == ALONE


def asks_for_a_plan(arguments: Sequence[str]) -> bool:
    """Whether a command line only asks what a run would do, which is measured in one process."""
    return any(argument.replace("_", "-") in ("--plan", "--plan-json") for argument in arguments)


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether a command line only shows help."""
    return any(argument in ("-h", "--help", "--help-all") for argument in arguments)


def forget(environment: MutableMapping[str, str]) -> None:
    """Takes out what a launcher has set: accelerate would wait for processes that have ended."""
    for name in [*environment]:
        if name in SET_BY_LAUNCHERS or name.startswith(PREFIX):
            del environment[name]


def join(launch: Launch) -> None:
    """Connects this process with the others, each with a card of its own where there are any.

    On a CPU the messages of a training go by gloo whatever its device, since ``--device cpu`` is read later.
    """
    import torch
    from torch import distributed

    cards = torch.cuda.is_available()
    if cards:
        torch.cuda.set_device(launch.local_rank % torch.cuda.device_count())
    if not distributed.is_initialized():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if cards else "gloo")


def leave() -> None:
    """Ends the connection after everything went well."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def be_silent() -> None:
    """Of ranks other than 0: no bars, no warnings and nothing on standard output."""
    os.environ["TQDM_DISABLE"] = "1"
    warnings.simplefilter("ignore")  # rank 0 shows the same ones
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)


def wait_for_the_end() -> None:
    """Waits until the process that reports an error has ended: a launcher ends all with the first that fails."""
    from st_mta.processes import processes

    with suppress(InputError):
        processes().barrier()


def on_rank_0(launch: Launch, work: Callable[[], Result]) -> Result | int:
    """What rank 0 works out, on every rank, or the code that it ends with; a plain call where there is one process."""
    if launch.size == 1:
        return work()
    from st_mta.processes import processes

    def ending() -> Result | int:
        try:
            return work()
        except SystemExit as end:  # after a message about a wrong option
            return int(end.code or 0)

    return processes().on_leader(ending)


def said_elsewhere(error: BaseException) -> bool:
    """Whether another rank prints the error."""
    return bool(getattr(error, "said_elsewhere", False))


def as_lost(error: BaseException, launch: Launch) -> InputError | None:
    """What a training fails with where another process has ended, for the user; None for any other error."""
    if launch.size == 1 or not isinstance(error, RuntimeError):
        return None
    if re.search("connection (closed|reset) by peer", str(error), re.IGNORECASE) is None:
        return None
    from st_mta.processes import lost

    return lost(launch.size, launch.rank, error)
