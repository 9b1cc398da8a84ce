"""What losses share that look at a student's layers around another loss over its embeddings."""

from __future__ import annotations

from typing import Any

from sentence_transformers.base.losses import CachedLossMixin
from sentence_transformers.sentence_transformer import SentenceTransformer
from torch import Tensor, nn

from st_mta.errors import InputError
from st_mta.losses.batch import Labels, ListwiseBatch
from st_mta.losses.list_loss import ListLoss
from st_mta.losses.listwise import ListwiseKLLoss
from st_mta.losses.similarity import resolve_similarity, student_logits


class AroundLoss(nn.Module):
    """A loss over the answers of several layers, with another loss on the last one.

    Args:
        model: The student.
        loss: Over embeddings of lists, and around the same student. Default: ``ListwiseKLLoss(model)``.
        return_components: Whether the terms are returned for the trainer to log. Default: as the loss does.

    Raises:
        InputError: If the loss does not work on embeddings, is cached, reads layers or is around another model.
    """

    reads_layers = True
    loss: Any  # compute_loss_from_embeddings is not declared by a base class of the host

    def __init__(self, model: SentenceTransformer, loss: nn.Module | None, return_components: bool | None) -> None:
        super().__init__()
        self.model = model
        self.loss = ListwiseKLLoss(model) if loss is None else loss
        _check_loss(self.loss, model)
        given = getattr(self.loss, "return_components", False)
        self.return_components = bool(given if return_components is None else return_components)

    @property
    def alpha(self) -> float:
        """Weight of the teacher in the loss, where a schedule of it finds it."""
        return self.loss.alpha  # type: ignore[no-any-return]

    @alpha.setter
    def alpha(self, alpha: float) -> None:
        self.loss.alpha = alpha

    def last_terms(self, embeddings: list[Tensor], labels: Labels | None) -> dict[str, Tensor]:
        """The loss of the last layer: its terms where they are returned and it has several, else "last"."""
        if self.return_components and isinstance(self.loss, ListLoss):
            return dict(self.loss._components(embeddings, labels))
        return {"last": self.loss.compute_loss_from_embeddings(embeddings, labels)}

    def list_logits(self, batch: ListwiseBatch) -> Tensor:
        """(B, N) the student's scaled similarities to its candidates, as the loss compares them."""
        given = getattr(self.loss, "similarity_fct", None), getattr(self.loss, "scale", None)
        similarity_fct, scale = resolve_similarity(self.model, *given)
        return student_logits(batch.queries, batch.documents, similarity_fct, scale).gather(1, batch.index)

    def get_config_dict(self) -> dict[str, Any]:
        """The arguments of the loss inside, for the model card."""
        inner: dict[str, Any] = getattr(self.loss, "get_config_dict", dict)()
        return {"loss": type(self.loss).__name__, **inner}


def _check_loss(loss: Any, model: SentenceTransformer) -> None:
    reads = any(getattr(module, "reads_layers", False) for module in loss.modules())
    cached = isinstance(loss, CachedLossMixin) or getattr(loss, "mini_batch_size", None) is not None
    reason = ", which is cached" if cached else ", which reads layers itself" if reads else ""
    if reason or not hasattr(loss, "compute_loss_from_embeddings") or getattr(loss, "model", model) is not model:
        raise InputError(
            expected="a loss over embeddings around the same student, to compute it at several layers",
            got=f"{type(loss).__name__}{reason}",
            consequence="there would be nothing to compute it from at an earlier layer",
            remedy="take a loss over lists, such as ListwiseKLLoss(model), or leave exits and layers out",
        )
