from __future__ import annotations

import numpy as np
import pytest

from st_mta.report.score_distributions import BINS, score_distributions
from tests.report.sample_evidence import sample_scores, scored


def test_every_score_is_counted_once():
    for number, (candidates, entry) in enumerate(zip(sample_scores(), score_distributions(sample_scores()))):
        assert entry["iteration"] == number
        assert tuple(part["scorer"] for part in entry["distributions"]) == candidates.scorers
        for part, scores in zip(entry["distributions"], candidates.scores):
            assert sum(part["counts"]) == len(scores) and len(part["counts"]) == BINS
            assert sum(part["positives"]) == candidates.candidates.positive.sum()
            assert list(part["quantiles"]) == ["0.05", "0.25", "0.5", "0.75", "0.95"]
            assert part["quantiles"]["0.5"] == pytest.approx(float(np.median(scores)), rel=1e-6)


def test_a_scorer_has_the_same_bins_in_every_iteration():
    spans = {}
    for entry in score_distributions(sample_scores()):
        for part in entry["distributions"]:
            spans.setdefault(part["scorer"], set()).add((part["low"], part["high"]))
    assert all(len(found) == 1 for found in spans.values())
    ((low, high),) = spans["teacher"]
    everything = np.concatenate([candidates.scores[0] for candidates in sample_scores()])
    assert (low, high) == (float(everything.min()), float(everything.max()))


def test_counts_lie_where_the_scores_are():
    scores = np.array([[0.0, 0.01, 1.0]], dtype=np.float32)
    entry, *_ = score_distributions([scored(scores, np.array([False, False, True]))])
    (part,) = entry["distributions"]
    assert part["counts"] == [2, *[0] * (BINS - 2), 1]
    assert part["positives"] == [*[0] * (BINS - 1), 1]


def test_equal_scores_have_a_bin_too():
    part = score_distributions([scored(np.full((1, 4), 2.5, np.float32), np.ones(4, bool))])
    assert sum(part[0]["distributions"][0]["counts"]) == 4


def test_no_candidates_no_distribution():
    assert score_distributions([scored(np.zeros((1, 0), np.float32), np.zeros(0, bool))]) == [
        {"iteration": 0, "distributions": []}
    ]
