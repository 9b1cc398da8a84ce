"""A loss's own weights beside every checkpoint: the host saves the student alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import nn
from transformers import TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from st_mta.atomic import atomic_path
from st_mta.errors import InputError
from st_mta.losses.word_level.hidden_state_mse import HiddenStateMSELoss

FILE = "loss.pt"


def own_state(loss: nn.Module) -> dict[str, Any]:
    """The state of the loss without that of the models in it, such as projections and the balance of terms."""
    modules = loss.named_modules(remove_duplicate=False)
    models = tuple(f"{name}." for name, module in modules if isinstance(module, (SentenceTransformer, CrossEncoder)))
    state = {name: value for name, value in loss.state_dict().items() if not name.startswith(models)}
    # A module may answer that it has no further state by an empty dictionary.
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor) or value}


class KeepLossWeights(TrainerCallback):  # type: ignore[misc]
    """Saves what the loss has learned itself with every checkpoint, and loads it when training is resumed.

    Without it a projection restarts from random weights under the optimizer's old moments. Resuming looks for the
    checkpoint in the trainer's output folder. It also clears the gradients of the loss after every step, which the
    host's trainer 6.0 does not do: there they would add up over the training. At the end it warns where task-aware
    filters took up the whole training.

    Args:
        loss: The trainer's loss.

    Raises:
        InputError: On resuming, if the loss has weights of its own and the checkpoint holds none.

    Example:
        ::

            loss = HiddenStateMSELoss(model, teacher=assistant, projection="learned")
            trainer = SentenceTransformerTrainer(..., loss=loss, callbacks=[KeepLossWeights(loss)])
            trainer.train(resume_from_checkpoint=True)
    """

    def __init__(self, loss: nn.Module) -> None:
        self.loss = loss

    def on_save(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Writes the file (main process only)."""
        if state.is_world_process_zero and (own := own_state(self.loss)):
            with atomic_path(_file(args, state)) as temporary:
                torch.save(own, temporary)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Loads it where training resumes."""
        path = _file(args, state)
        if not state.global_step or not (path.exists() or own_state(self.loss)):
            return
        if not path.exists():
            raise InputError(
                expected=f"the loss's own weights in {path}",
                got="a checkpoint without them",
                remedy="resume a checkpoint in the output folder that was saved with KeepLossWeights, or train anew",
            )
        self.loss.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=False)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Clears the gradients of all that is trained, the loss's own weights included."""
        self.loss.zero_grad()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Warns of a loss that was still fitting its filters (main process only)."""
        for part in self.loss.modules() if state.is_world_process_zero else ():
            if isinstance(part, HiddenStateMSELoss):
                part.warn_of_filters_alone()


def _file(args: TrainingArguments, state: TrainerState) -> Path:
    return Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}" / FILE
