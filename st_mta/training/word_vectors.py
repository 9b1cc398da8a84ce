"""Of a student's table of word vectors, a training changes the rows of its own tokens: only those get gradients.

A row whose token is in no text of a training has gradient zero in every step, and Adam without weight decay leaves it
exactly as it is. Left out, it need not be zeroed, clipped and averaged in every step, nor stand in a checkpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel, TrainingArguments
from transformers.training_args import OptimizerNames

from st_mta.types import IntArray

logger = logging.getLogger(__name__)

ADAM = (OptimizerNames.ADAMW_TORCH, OptimizerNames.ADAMW_TORCH_FUSED)
"""Optimisers that leave a row without gradients as it is, as long as weights do not decay."""
PACKAGES = {"st_mta", "sentence_transformers", "transformers", "torch"}
MOST_ROWS = 0.8
"""Share of the rows from which on too little is saved."""


class OccurringWords(nn.Module):
    """In place of a table of V word vectors: K of them as the parameter ``weight``, the others as they were.

    ``state_dict`` gives the whole table under the name it has always had, and ``load_state_dict`` takes it.

    Args:
        table: The table; its rows are written back by [`put_back`].
        ids: (K,) of the tokens that occur, ascending.
    """

    def __init__(self, table: nn.Embedding, ids: Tensor) -> None:
        super().__init__()
        self._table = (table,)  # in a tuple: it is no part of the model now
        rows = torch.full((table.num_embeddings,), -1, device=ids.device)
        rows[ids] = torch.arange(len(ids), device=ids.device)
        self.ids: Tensor
        self.rows: Tensor
        self.register_buffer("ids", ids, persistent=False)
        self.register_buffer("rows", rows, persistent=False)
        self.weight = nn.Parameter(table.weight.detach()[ids])
        padding = -1 if table.padding_idx is None else int(self.rows[table.padding_idx])
        self.padding_row = None if padding < 0 else padding  # its gradient is zero, as it was
        self.warned = False
        self.register_state_dict_post_hook(_give_whole)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_take_whole)  # type: ignore[no-untyped-call]
        self.train(table.training)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """A copy that changes its number format or device does so as a whole."""
        self.table._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    @property
    def table(self) -> nn.Embedding:
        """The whole table, with the rows that occur as they were before."""
        return self._table[0]

    @property
    def num_embeddings(self) -> int:
        """V."""
        return self.table.num_embeddings

    @property
    def embedding_dim(self) -> int:
        """Width of a word vector."""
        return self.table.embedding_dim

    def forward(self, input_ids: Tensor) -> Tensor:
        """(..., D) word vectors of tokens (...), whether or not they are in a text of the training."""
        rows = self.rows[input_ids]
        unknown = rows < 0
        if unknown.device.type == "cpu":  # elsewhere the answer would have to be waited for
            if not unknown.any():
                return functional.embedding(rows, self.weight, self.padding_row)
            self._warn()
        found = functional.embedding(rows.clamp(min=0), self.weight, self.padding_row)
        return torch.where(unknown[..., None], functional.embedding(input_ids, self.table.weight.detach()), found)

    def whole(self) -> Tensor:
        """(V, D), a copy."""
        return self.table.weight.detach().index_copy(0, self.ids, self.weight.detach())

    def put_back(self) -> nn.Embedding:
        """Writes the rows into the table and returns it."""
        with torch.no_grad():
            self.table.weight.index_copy_(0, self.ids, self.weight)
        return self.table.train(self.training)

    def _warn(self) -> None:
        if self.training and torch.is_grad_enabled() and not self.warned:
            self.warned = True
            logger.warning(
                "The loss reads tokens that are in no text of this training: their vectors stay as they are."
            )


@contextmanager
def occurring_words(
    student: SentenceTransformer,
    ids: IntArray | None,
    arguments: TrainingArguments,
    loss: nn.Module | None = None,
) -> Iterator[list[OccurringWords]]:
    """Within it, only the word vectors of these tokens are trained; afterwards the student's tables are whole.

    Nothing is changed where it would make a difference: with weight decay, with another optimiser than Adam, under a
    loss of the user's own, in tables that are frozen, shared with other parts, or more than plain tables.

    Args:
        student: The model to train.
        ids: Token ids that batches can hold, ascending; None where that is not known.
        arguments: Of this training.
        loss: One of the user's own may read weights of the student by itself.

    Yields:
        What stands in the place of the tables.
    """
    replaced: dict[str, OccurringWords] = {}
    known = loss is None or _reads_no_weights(student, loss)
    if known and ids is not None and not arguments.weight_decay and arguments.optim in ADAM:
        for name, table in _tables(student):
            kept = torch.from_numpy(ids[ids < table.num_embeddings]).to(table.weight.device)
            if len(kept) < MOST_ROWS * table.num_embeddings:
                replaced[name] = OccurringWords(table, kept)
    for name, words in replaced.items():
        student.set_submodule(name, words)
    try:
        yield list(replaced.values())
    finally:
        for name, words in replaced.items():
            student.set_submodule(name, words.put_back())


def take_whole_moments(optimizer: torch.optim.Optimizer, words: list[OccurringWords]) -> None:
    """Lets an optimiser load the state of whole tables, which earlier versions kept in checkpoints."""
    places = {id(parameter): place for place, parameter in enumerate(_parameters(optimizer))}

    def cut(_: Any, state: dict[str, Any]) -> dict[str, Any]:
        moments = dict(state["state"])
        for one in words:
            place = places[id(one.weight)]
            moments[place] = {name: _cut(one, value) for name, value in moments.get(place, {}).items()}
        return {**state, "state": {place: kept for place, kept in moments.items() if kept}}

    optimizer.register_load_state_dict_pre_hook(cut)


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _cut(words: OccurringWords, value: Any) -> Any:
    """The rows that occur, of a moment of the whole table; anything else as it is."""
    whole = isinstance(value, Tensor) and value.shape == words.table.weight.shape
    return value[words.ids.to(value.device)] if whole else value


def _tables(student: SentenceTransformer) -> list[tuple[str, nn.Embedding]]:
    """Names and modules of the tables of word vectors that are trained, and that nothing else reads."""
    inputs = set()
    for backbone in student.modules():
        if isinstance(backbone, PreTrainedModel):
            with suppress(NotImplementedError, AttributeError):  # models without words
                inputs.add(id(backbone.get_input_embeddings()))
    names: dict[int, int] = {}
    for _, parameter in student.named_parameters(remove_duplicate=False):
        names[id(parameter)] = names.get(id(parameter), 0) + 1
    return [
        (name, module)
        for name, module in student.named_modules()
        if id(module) in inputs
        and type(module) is nn.Embedding
        and _is_plain(module)
        and names[id(module.weight)] == 1
    ]


def _reads_no_weights(student: nn.Module, loss: nn.Module) -> bool:
    """Whether all parts of a loss are of packages whose losses read nothing but what the student computes."""
    own = {id(module) for module in student.modules()}
    parts = [type(part).__module__.split(".")[0] for part in loss.modules() if id(part) not in own]
    return set(parts) <= PACKAGES


def _is_plain(table: nn.Embedding) -> bool:
    special = table.max_norm is not None or table.scale_grad_by_freq or table.sparse
    hooked = table._forward_hooks or table._forward_pre_hooks or table._backward_hooks
    hooked = hooked or table.weight._backward_hooks or table.weight._post_accumulate_grad_hooks
    return table.weight.requires_grad and not special and not hooked


def _give_whole(words: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    assert isinstance(words, OccurringWords)
    state[f"{prefix}weight"] = words.whole()


def _take_whole(words: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    assert isinstance(words, OccurringWords)
    if (whole := state.get(f"{prefix}weight")) is not None:
        with torch.no_grad():
            words.table.weight.copy_(whole)
        state[f"{prefix}weight"] = whole[words.ids.to(whole.device)]
