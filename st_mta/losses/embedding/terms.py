"""Terms of embedding distillation: what is compared between a student's embeddings and a teacher's of the same texts.

A term is a function ``(student (n, d), targets (n, D)) -> scalar`` and a line in ``TERMS``. Those over rows compare
each text with its own target and need both in one space; those over the batch compare texts with each other, so that
targets of any width will do and no map between the spaces touches them. All are computed in float32 or wider, also
under autocast, and give the targets no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from st_mta.distributions import widen
from st_mta.errors import InputError
from st_mta.lookup import check_choice
from st_mta.losses.embedding.relative import misordered
from st_mta.losses.regression import cosine_distance
from st_mta.losses.similarity import check_range

RELATIVE_MARGIN = 0.015
"""Of Jasper's code: the least difference of similarities that the student should keep."""


DIGITS = 6
"""To which similarities count as equal: those of float32 differ in the seventh with the place of a text."""


class Term(NamedTuple):
    """A term and what it reads.

    Attributes:
        compute: ``(student (n, d), targets (n, D)) -> scalar``, in float32 or wider, whatever the autocast.
        over_batch: Whether it compares the batch's texts with each other; then D may differ from d.
        by_row: ``(student (n, d), targets (n, d)) -> (n,)``, of which a term over rows is the mean.
    """

    compute: Callable[[Tensor, Tensor], Tensor]
    over_batch: bool
    by_row: Callable[[Tensor, Tensor], Tensor] | None = None


def cosine(student: Tensor, targets: Tensor) -> Tensor:
    """Mean of one minus the cosine of each row with its target, in [0, 2]."""
    return cosine_distance(student, targets).mean()


def mse(student: Tensor, targets: Tensor) -> Tensor:
    """Mean of the squared differences over rows and dimensions, as the host's ``MSELoss``."""
    return (student - targets).square().mean()


def mean_square(student: Tensor, targets: Tensor) -> Tensor:
    """(n,) mean over the dimensions of the squared differences."""
    return (student - targets).square().mean(dim=-1)


def l2(student: Tensor, targets: Tensor) -> Tensor:
    """Mean Euclidean distance of each row to its target: EmbedDistill (https://arxiv.org/abs/2301.12005), Eq. (7)."""
    return distance(student, targets).mean()


def distance(student: Tensor, targets: Tensor) -> Tensor:
    """(n,) Euclidean distances."""
    return torch.pairwise_distance(student, targets, eps=0)


def gram(student: Tensor, targets: Tensor) -> Tensor:
    """Mean squared difference of the two n x n matrices of cosines between the batch's rows.

    The similarity loss of Jasper (https://arxiv.org/abs/2412.19048), there with the weight 200 beside 10 for the
    cosine distance; D2LLM's feature imitation is the same over its pairs. The diagonal, always 0, is in the mean.
    """
    return (_cosines(student) - _cosines(targets)).square().mean()


def relative(student: Tensor, targets: Tensor, margin: float = RELATIVE_MARGIN) -> Tensor:
    """How far the student is from having all similarities of the batch in its teacher's order, ``margin`` apart.

    The relative similarity loss of Jasper, there with the weight 20: with s and t the cosines of the n (n - 1) / 2
    pairs of different rows, the mean over all unordered pairs of these of relu(s_ij - s_kl + margin) where
    t_ij < t_kl. Deviation: where the teacher's are equal (a text twice in the batch) nothing counts, as in the paper;
    its code takes one of the two orders. Not 0 where student and teacher are equal, if the teacher has similarities
    less than the margin apart. Similarities of the teacher are compared to six digits, since the same two texts twice
    in a batch need not get the very same one.
    """
    rows, columns = torch.triu_indices(len(student), len(student), offset=1, device=student.device)
    wanted = _cosines(targets)[rows, columns].round(decimals=DIGITS)
    return misordered(_cosines(student)[rows, columns], wanted, margin)


def spread(student: Tensor, targets: Tensor) -> Tensor:
    """How far the batch is from lying spread over the sphere; targets are not looked at.

    The global orthogonal regularisation of Zhang et al. (https://arxiv.org/abs/1708.06320), Eqs. (3) and (4): with
    M1 and M2 the means of the cosines of different rows and of their squares, M1^2 + max(0, M2 - 1 / d), which random
    directions have at 0. Deviation: all pairs of different rows, matching ones included, since nothing says which are.
    """
    rows, columns = torch.triu_indices(len(student), len(student), offset=1, device=student.device)
    cosines = _cosines(student)[rows, columns]
    pairs = max(1, len(cosines))
    return (cosines.sum() / pairs).square() + F.relu(cosines.square().sum() / pairs - 1 / student.shape[1])


TERMS: dict[str, Term] = {
    "cosine": Term(cosine, over_batch=False, by_row=cosine_distance),
    "mse": Term(mse, over_batch=False, by_row=mean_square),
    "l2": Term(l2, over_batch=False, by_row=distance),
    "gram": Term(gram, over_batch=True),
    "relative": Term(relative, over_batch=True),
    "spread": Term(spread, over_batch=True),
}
"""Every term by the word users write."""


def check_terms(weights: Mapping[str, Any]) -> dict[str, float]:
    """The weights of the terms that count.

    Raises:
        InputError: If a word is no term, a weight negative or not finite, or none is positive.
    """
    for word, weight in weights.items():
        check_choice("a term of embedding distillation", word, TERMS)
        number = isinstance(weight, Real) and not isinstance(weight, bool)
        check_range(f"the weight of {word!r}", weight, number and 0 <= weight < float("inf"), "a number of at least 0")
    positive = {word: float(weight) for word, weight in weights.items() if weight}
    if not positive:
        raise InputError(
            expected="at least one term of embedding distillation with a positive weight",
            got=repr(dict(weights)),
            remedy='give for instance {"cosine": 1.0}',
        )
    return positive


def embedding_terms(
    student: Tensor,
    targets: Tensor,
    weights: Mapping[str, float],
    *,
    aligned: tuple[Tensor, Tensor] | None = None,
    mean: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, Tensor]:
    """The weighted terms by their words, for a loss to add up and to log.

    Args:
        student: (n, d) embeddings with gradient.
        targets: (n, D) what a teacher, or several at once, gave the same texts; D may differ from d where all terms
            are over the batch or ``aligned`` is given.
        weights: Terms by their words, each with its weight; 0 leaves one out.
        aligned: Student and targets (n', D'), (n', D') in one space, for the terms over rows. Default: the two above.
            They may be fewer rows, such as this process's where the others are gathered from all.
        mean: Of the values (n',) of these rows, where they are a share of a mean over several processes.

    Raises:
        InputError: If rows differ in number, or widths where they must not.
    """
    over_rows = (student, targets) if aligned is None else aligned
    pairs = {True: (student, targets), False: over_rows}
    with torch.autocast(student.device.type, enabled=False):
        found = {}
        for word, weight in check_terms(weights).items():
            term = TERMS[word]
            ours, theirs = _paired(*pairs[term.over_batch], over_batch=term.over_batch)
            by_row = None if mean is None else term.by_row
            found[word] = weight * (mean(by_row(ours, theirs)) if mean and by_row else term.compute(ours, theirs))
    return found


def _paired(student: Tensor, targets: Tensor, *, over_batch: bool) -> tuple[Tensor, Tensor]:
    """Both in the wider of their formats and in float32 at least, the targets without gradient."""
    fits = student.ndim == targets.ndim == 2 and len(student) == len(targets)
    if not fits or not (over_batch or student.shape[1] == targets.shape[1]):
        raise InputError(
            expected=f"targets of the {len(student)} rows that the student embedded"
            + ("" if over_batch else f", each of its {student.shape[-1]} dimensions"),
            got=f"shape {tuple(targets.shape)}",
            remedy="give one target per text; where widths differ, map them to one space first (st_mta.procrustes)",
        )
    student = widen(student)
    return student, targets.detach().to(student)


def _cosines(rows: Tensor) -> Tensor:
    """(n, n) cosines between all rows."""
    units = F.normalize(rows, dim=-1)
    return units @ units.mT
