"""The host's losses of a run, made from a student and its targets."""

from __future__ import annotations

from sentence_transformers.sentence_transformer import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    DistillKLDivLoss,
    EmbedDistillLoss,
    MarginMSELoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.util import SimilarityFunction
from torch import Tensor, nn

from st_mta.losses.batch import ListwiseBatch
from st_mta.losses.factory import LossTargets
from st_mta.losses.host import HostLoss, Label, target_embeddings
from st_mta.losses.similarity import check_range, resolve_similarity

HOST: dict[type, str] = {
    MarginMSELoss: "margin-mse",
    DistillKLDivLoss: "distill-kl-div",
    EmbedDistillLoss: "embed-distill",
    MultipleNegativesRankingLoss: "mnrl",
}
"""The host's own classes, which name the same losses."""


def margin_mse(student: SentenceTransformer, targets: LossTargets, *, scale: float | None = None) -> nn.Module:
    """The host's ``MarginMSELoss``: margins of the teacher's calibrated logits, divided by ``scale``.

    The student's margins are differences of its similarities, which for cosines are at most 2. Calibrated logits are
    on the scale of ``scale`` times these similarities; raw scores would ask for margins the student cannot reach.
    """
    _, factor = resolve_similarity(student, None, scale)
    similarity_fct = SimilarityFunction.to_similarity_pairwise_fn(student.similarity_fn_name)
    loss = MarginMSELoss(student, similarity_fct=similarity_fct)
    return HostLoss(student, loss=loss, label=_calibrated(targets, factor))


def distill_kl_div(student: SentenceTransformer, targets: LossTargets, *, scale: float | None = None) -> nn.Module:
    """The host's ``DistillKLDivLoss``: KL from the calibrated teacher alone, the student at the temperature 1 / scale.

    The host multiplies by that temperature squared.
    """
    _, factor = resolve_similarity(student, None, scale)
    similarity_fct = SimilarityFunction.to_similarity_pairwise_fn(student.similarity_fn_name)
    loss = DistillKLDivLoss(student, similarity_fct, student_temperature=1 / factor, teacher_temperature=1.0)
    return HostLoss(student, loss=loss, label=_calibrated(targets, 1.0))


def embed_distill(student: SentenceTransformer, targets: LossTargets, *, regression_weight: float = 1.0) -> nn.Module:
    """The host's ``EmbedDistillLoss`` by cosine, to the embeddings that come with a positive ``regression_weight``.

    Nothing stands beside it, so the weight only has to be positive.
    """
    check_range("regression_weight of loss 'embed-distill'", regression_weight, regression_weight > 0, "positive")
    return HostLoss(student, loss=EmbedDistillLoss(student, distance_metric="cosine"), label=target_embeddings)


def mnrl(student: SentenceTransformer, targets: LossTargets, *, contrastive_scale: float | None = None) -> nn.Module:
    """The host's ``MultipleNegativesRankingLoss``, from the judgements alone."""
    similarity_fct, scale = resolve_similarity(student, None, contrastive_scale)
    loss = MultipleNegativesRankingLoss(student, scale=scale, similarity_fct=similarity_fct)
    return HostLoss(student, loss=loss, label=None)


def _calibrated(targets: LossTargets, scale: float) -> Label:
    """The teacher's calibrated logits in the unit of the student's similarities, up to a constant for each list."""

    def calibrated_teacher(batch: ListwiseBatch) -> Tensor:
        return targets.teacher(batch.scores, batch.mask) / scale

    return calibrated_teacher
