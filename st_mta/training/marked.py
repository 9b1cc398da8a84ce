"""Checkpoints that are marked when they are whole, with the digests of their files."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import rotate_checkpoints

from st_mta.atomic import atomic_write_text
from st_mta.errors import InputError
from st_mta.processes import processes
from st_mta.run.manifest import content_of, is_damaged
from st_mta.run.stopping import Stopped, asked_to_stop, wait_for_checkpoint

logger = logging.getLogger(__name__)

COMPLETE = "complete"
"""Name of the file that marks a checkpoint as wholly written, with size and digest of every file."""
NEEDED = ("trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth")
"""Files without which the host resumes all the same, but to other weights; of several processes each has the last."""
OF_RANKS = "rng_state_*.pth"
"""What each of several processes writes instead of the last."""


class MarkComplete(TrainerCallback):
    """Marks a checkpoint once every file of it is on disk, and only then removes older ones.

    A half-written checkpoint is never resumed from, and at no moment is there none.

    Args:
        limit: Checkpoints to keep; None for all. The host's own limit is to be None, since it deletes too early.
    """

    def __init__(self, limit: int | None = 1) -> None:
        self.limit = limit

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Writes the mark (main process only), once every process has written its files."""
        processes().barrier()
        if state.is_world_process_zero:
            folder = Path(str(args.output_dir))
            mark(folder / f"checkpoint-{state.global_step}")
            rotate_checkpoints(str(folder), self.limit, state.best_model_checkpoint)
        processes().barrier()  # no process may end, and so have the others killed, before that


class StopWhenAsked(TrainerCallback):
    """Saves a checkpoint and ends the process where a SIGTERM came; to be the last of all callbacks.

    Several processes stop together where one of them is asked to.
    """

    def __init__(self) -> None:
        self.agreed = False

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """From now on the training stops by itself."""
        wait_for_checkpoint(True)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Asks for a checkpoint, and for a log, since what was counted since the last one is not in a checkpoint."""
        self.agreed = processes().any(asked_to_stop())
        if self.agreed:
            control.should_save = control.should_log = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Ends the process."""
        if self.agreed or (processes().size == 1 and asked_to_stop()):
            raise Stopped(f"The training is saved as of step {state.global_step} of {state.max_steps}.")

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """From now on a SIGTERM ends the process at once."""
        asked = processes().any(asked_to_stop())
        wait_for_checkpoint(False)
        if asked:
            raise Stopped


def mark(checkpoint: Path) -> None:
    """Marks a checkpoint as wholly written."""
    files = [path for path in sorted(checkpoint.rglob("*")) if path.is_file()]
    contents = {path.relative_to(checkpoint).as_posix(): content_of(path) for path in files}
    atomic_write_text(checkpoint / COMPLETE, json.dumps(contents, indent=1))


def checkpoint_to_resume(folder: Path) -> str | None:
    """What rank 0 finds to be the last whole checkpoint, for all processes.

    Raises:
        InputError: If other processes than these many have written it.
    """
    return processes().on_leader(lambda: last_complete_checkpoint(folder, processes().size))


def last_complete_checkpoint(folder: Path, num_processes: int = 1) -> str | None:
    """The newest checkpoint that is as it was marked; half-written and damaged ones are removed.

    Args:
        folder: Of the checkpoints.
        num_processes: That are to resume from it.

    Returns:
        The checkpoint, or None where the training has to begin anew.

    Raises:
        InputError: If another number of processes has written it.
    """
    newest_first = sorted(folder.glob("checkpoint-[0-9]*"), key=lambda path: -int(path.name.rsplit("-", 1)[-1]))
    for checkpoint in newest_first:
        if (fault := fault_of(checkpoint)) is None:
            _refuse_other_number(checkpoint, num_processes)
            return str(checkpoint)
        if fault != UNMARKED:
            logger.warning("Removing the checkpoint %s (%s); resuming from the one before it.", checkpoint, fault)
        shutil.rmtree(checkpoint)
    return None


UNMARKED = "half-written"


def fault_of(checkpoint: Path) -> str | None:
    """Why a checkpoint cannot be resumed from; None where it can."""
    try:
        text = (checkpoint / COMPLETE).read_text(encoding="utf-8")
        contents = json.loads(text or "{}")  # earlier versions left the mark empty
    except FileNotFoundError:
        return UNMARKED
    except (OSError, ValueError):
        return f"{COMPLETE} cannot be read"
    missing = [name for name in _needed(checkpoint) if not (checkpoint / name).exists()]
    damaged = [name for name, content in contents.items() if is_damaged(checkpoint / name, content)]
    return f"{(missing + damaged)[0]} is missing or damaged" if missing or damaged else None


def _written_by(checkpoint: Path) -> int:
    """How many processes wrote a checkpoint."""
    return len(list(checkpoint.glob(OF_RANKS))) or 1


def _needed(checkpoint: Path) -> tuple[str, ...]:
    ranks = range(_written_by(checkpoint))
    return NEEDED if len(ranks) == 1 else (*NEEDED[:-1], *(f"rng_state_{rank}.pth" for rank in ranks))


def _refuse_other_number(checkpoint: Path, num_processes: int) -> None:
    if (before := _written_by(checkpoint)) == num_processes:
        return
    raise InputError(
        expected=f"{before} processes, which began this training",
        got=f"{num_processes}",
        consequence="it would go on with other batches, and end with another student than without the interruption",
        remedy=f"start {before} again until this training is done, or delete {checkpoint.parent} to begin it anew; "
        "between two trainings the number may change",
    )
