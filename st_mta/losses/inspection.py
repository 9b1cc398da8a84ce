"""A look at the first batch a loss sees, for mistakes that would otherwise train silently on nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable

from st_mta.distributions import within_unit_interval
from st_mta.errors import InputError
from st_mta.losses.batch import ListwiseBatch, refuse_infinite

logger = logging.getLogger(__name__)

MISMATCH_RATIO, MISMATCH_NATS = 3.0, 0.1
"""How many times its least, and by how much, the divergence may be before a warning."""
FACTORS = [2.0 ** (step / 4) for step in range(-24, 25)]
"""On the student's logits: how much surer or less sure it might be."""


def inspect_batch(batch: ListwiseBatch, *, by_list: bool = True) -> None:
    """Refuses an index beyond the documents, and warns if no query has two candidates that every scorer scored.

    Once per loss: reading values back stops an accelerator.

    Args:
        batch: The first one.
        by_list: Whether the lists of the batch are what is learned from.

    Raises:
        InputError: If the index names a document that is not there, or a score is +inf.
    """
    refuse_infinite(batch.scores)
    highest = int(batch.index.max())
    if highest >= len(batch.documents):
        raise InputError(
            expected=f"an index below {len(batch.documents)}, the number of documents",
            got=str(highest),
            remedy="build index and documents from the same batch, for instance with st_mta's collator",
        )
    if by_list and not bool(batch.counts.any()):
        logger.warning(
            "No query of the first batch has two candidates with a finite score from every scorer, so its loss is 0. "
            "Check the label for NaN and -inf: they mark missing candidates."
        )


def warn_if_narrow(batch: ListwiseBatch, teacher_temperature: float) -> None:
    """Warns for each scorer whose scores lie in [0, 1] and are too close together to teach at this temperature."""
    for scorer, scores in enumerate(batch.scores.unbind(dim=1)):
        valid = scores[batch.mask]
        if within_unit_interval(valid) and float(valid.max() - valid.min()) <= teacher_temperature:
            logger.warning(
                f"The scores of scorer {scorer} all lie between 0 and 1, like the output of a sigmoid. At "
                f"teacher_temperature={teacher_temperature} no candidate is then more than e times as probable as "
                "another, and the student learns next to nothing. Give raw logits "
                "(CrossEncoder.predict(..., activation_fn=torch.nn.Identity())), or for cosine similarities a "
                "teacher_temperature of about 0.05."
            )


def warn_if_mismatched(divergence: Callable[[float], float], scale: float) -> None:
    """Warns if most of the loss would only change how sure the student is, and not what it prefers.

    ``divergence`` maps a factor on the student's logits to its mean divergence from the targets.
    """
    least, factor = min((divergence(factor), factor) for factor in FACTORS)
    now = divergence(1.0)
    if now > MISMATCH_RATIO * least and now - least > MISMATCH_NATS:
        logger.warning(
            f"At scale={scale:g} the student is {'surer' if factor < 1 else 'less sure'} of its candidates than its "
            f"targets are: the divergence is {now:.2f} in the first batch and would be {least:.2f} at "
            f"scale={factor * scale:.3g}. "
            "What it would learn is mostly to spread its similarities differently, which costs quality over the whole "
            "corpus. Give that scale, or change teacher_temperature."
        )
