"""Is the difference between two systems more than luck? Paired tests over the same queries."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from st_mta.errors import InputError

SAMPLES = 9_999  # random sign flips, and bootstrap samples
CONFIDENCE = 0.95  # coverage of the interval
BLOCK = 2**22  # sign flips drawn at once: 32 MB once they are multiplied
ROUNDING = 1e-12  # sums of the same numbers in another order differ by less


@dataclass(frozen=True)
class PairedTest:
    """System a against system b on the same queries.

    Attributes:
        mean_a: Mean of a.
        mean_b: Mean of b.
        difference: ``mean_a - mean_b``.
        p_value: Two-sided p value of the paired randomisation test.
        confidence_interval: Percentile bootstrap interval (95%) of the difference.
        wins: Queries on which a is better.
        losses: Queries on which b is better.
        ties: Queries on which both are equal.
        num_queries: Number of queries.
        t_test_p_value: Two-sided p value of the paired t test, for comparison with work that reports it.
    """

    mean_a: float
    mean_b: float
    difference: float
    p_value: float
    confidence_interval: tuple[float, float]
    wins: int
    losses: int
    ties: int
    num_queries: int
    t_test_p_value: float


def paired_test(a: Mapping[str, float], b: Mapping[str, float], *, seed: int = 0) -> PairedTest:
    """Compares two systems query by query.

    The randomisation test asks how often a random exchange of the two systems' values on each query gives a mean
    difference at least as large as the observed one (Smucker, Allan and Carterette, "A Comparison of Statistical
    Significance Tests for Information Retrieval Evaluation", CIKM 2007, section 3.4):
        p = (1 + #{samples with |mean| >= |observed mean|}) / (1 + samples)
    Deviations: the observed arrangement counts as one sample, so that p is never 0.

    Args:
        a: Query id -> value of the first system.
        b: Query id -> value of the second, for the same queries.
        seed: Of sign flips and bootstrap; the same seed gives the same result.

    Raises:
        InputError: If the systems were measured on different queries, or on none, or a value is not finite.
    """
    values = [*a.values(), *b.values()] if isinstance(a, Mapping) and isinstance(b, Mapping) else [None]
    if not all(isinstance(value, (int, float, np.number)) for value in values):
        raise InputError(
            expected="query id -> value of each system",
            got=f"{str(a)[:100]} and {str(b)[:100]}",
            remedy="give what per_query returns",
        )
    if not a or a.keys() != b.keys():
        raise InputError(
            expected="two systems measured on the same queries",
            got=f"{len(a)} and {len(b)} queries, {len(a.keys() & b.keys())} of them in both",
            remedy="measure both with per_query on the same qrels",
        )
    first = np.array([a[query_id] for query_id in a], dtype=np.float64)
    second = np.array([b[query_id] for query_id in a], dtype=np.float64)
    differences = first - second
    if not np.isfinite(differences).all():
        query_id = list(a)[int(np.argmin(np.isfinite(differences)))]
        raise InputError(
            expected="finite values of both systems on every query",
            got=f"{a[query_id]} and {b[query_id]} on query {query_id!r}",
            consequence="no comparison with it would be true, and the difference would seem significant",
            remedy="measure both with per_query, or leave the query out of both",
        )
    return PairedTest(
        mean_a=float(first.mean()),
        mean_b=float(second.mean()),
        difference=float(differences.mean()),
        p_value=_randomisation_p(differences, seed),
        confidence_interval=_bootstrap_interval(differences, seed),
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        ties=int((differences == 0).sum()),
        num_queries=len(differences),
        t_test_p_value=_t_test_p(first, second),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction for several comparisons, in the given order (Holm 1979, step-down Bonferroni).

    With the p values sorted upwards, the i-th of m (from 0) becomes ``max over j <= i of min(1, (m - j) * p_j)``.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values)
    adjusted = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(max=1.0)
    result = np.empty_like(values)
    result[order] = adjusted
    return [float(value) for value in result]


def _randomisation_p(differences: npt.NDArray[np.float64], seed: int) -> float:
    generator = np.random.default_rng(seed)
    total = differences.sum()
    block = max(1, BLOCK // len(differences))
    extreme = 0
    for start in range(0, SAMPLES, block):
        flips = generator.integers(0, 2, (min(block, SAMPLES - start), len(differences)), dtype=np.int8)
        # A flipped query counts with the opposite sign: sum(d) - 2 * (sum of the flipped d).
        sums = total - 2.0 * (flips @ differences)
        extreme += int((np.abs(sums) >= abs(total) - ROUNDING * len(differences)).sum())
    return (1 + extreme) / (1 + SAMPLES)


def _bootstrap_interval(differences: npt.NDArray[np.float64], seed: int) -> tuple[float, float]:
    if len(differences) == 1:  # one query has no spread to sample from
        return float(differences[0]), float(differences[0])
    interval = stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=SAMPLES,
        batch=max(1, BLOCK // (8 * len(differences))),
        confidence_level=CONFIDENCE,
        method="percentile",
        random_state=seed,
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _t_test_p(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # scipy warns where all differences are (nearly) equal; the p value is then 0, or NaN for identical systems.
        warnings.simplefilter("ignore", RuntimeWarning)
        p_value = float(stats.ttest_rel(first, second).pvalue)
    return p_value if math.isfinite(p_value) else 1.0
