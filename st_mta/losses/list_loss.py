"""What losses over a query's candidates share: the student's forward pass, and how they read a batch."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any, NoReturn

import torch
from sentence_transformers.base.losses import column_merging_disabled
from sentence_transformers.base.losses.merged_forward import embed_columns
from torch import Tensor, nn

from st_mta.errors import InputError
from st_mta.losses.batch import Labels, ListwiseBatch, read_batch
from st_mta.losses.inspection import inspect_batch


def embed(model: nn.Module, sentence_features: Iterable[dict[str, Any]], labels: Labels | None) -> list[Tensor]:
    """One (rows, D) tensor of sentence embeddings per column, the queries' first."""
    # Flat columns hold passages of like length; merged they would all be padded to the longest.
    with column_merging_disabled() if isinstance(labels, dict) else nullcontext():
        embeddings: list[Tensor] = embed_columns(model, sentence_features)
    return embeddings


def total(terms: dict[str, Tensor]) -> Tensor:
    """The sum of a loss's weighted terms."""
    return torch.stack(list(terms.values())).sum()


class Components(dict[str, Tensor]):
    """Weighted terms of a loss by their names, for a trainer to log; a wrapper that computes with them is refused."""

    def _refuse(self, _: Any) -> NoReturn:
        raise InputError(
            expected="a loss that returns one number, for a wrapper such as MatryoshkaLoss",
            got=f"the components {', '.join(self)}",
            remedy="make the loss inside the wrapper with return_components=False",
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse


class ListLoss(nn.Module):
    """A loss from the embeddings of queries and candidates alone, the sum of one or several terms.

    Attributes:
        model: The student.
        return_components: Whether ``forward`` returns the terms for the trainer to log, instead of their sum.
    """

    model: nn.Module
    return_components = False
    _inspected = False

    def forward(
        self, sentence_features: Iterable[dict[str, Tensor]], labels: Labels | None
    ) -> Tensor | dict[str, Tensor]:
        """The loss of one batch, or its weighted terms with ``return_components``."""
        embeddings = self._embed(sentence_features, labels)
        if self.return_components:
            return Components(self._components(embeddings, labels))
        return self.compute_loss_from_embeddings(embeddings, labels)

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Labels | None) -> Tensor:
        """The loss as a scalar, for wrappers.

        Args:
            embeddings: (B, D) for the query column, then (B, D) per candidate column, or
                (U_1, D), (U_2, D), ... of the flat form.
            labels: As described for ``ListwiseKLLoss``.
        """
        return total(self._components(embeddings, labels))

    def _embed(self, sentence_features: Iterable[dict[str, Tensor]], labels: Labels | None) -> list[Tensor]:
        return embed(self.model, sentence_features, labels)

    def _components(self, embeddings: list[Tensor], labels: Labels | None) -> dict[str, Tensor]:
        raise NotImplementedError

    def _read(self, embeddings: list[Tensor], labels: Labels | None, *, by_list: bool = True) -> ListwiseBatch:
        """The batch in one form, whichever it came in; the first one is inspected, and its lists with ``by_list``."""
        batch = read_batch(embeddings, labels)
        if not self._inspected:
            self._inspected = True
            inspect_batch(batch, by_list=by_list)
        return batch
