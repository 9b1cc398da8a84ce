"""Which queries come in, by what the student got wrong."""

from __future__ import annotations

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.training.curriculum import count_hard, draw_queries
from tests.training.toy_run import toy_arguments

AVAILABLE = np.arange(100, 140)
RANKS = np.array([1, 2, 0, 5] * 10)  # a quarter is right
WRONG = set(AVAILABLE[RANKS != 1].tolist())


def draw(folder, ranks=RANKS, iteration=1, **changes):
    arguments = toy_arguments(folder, **changes)
    sample, hard = draw_queries(AVAILABLE, ranks, arguments, iteration)
    return sample.tolist(), hard.tolist()


@pytest.mark.parametrize("curriculum", ["all", "wrong", "weighted"])
def test_nothing_is_harder_before_the_student_is_known(tmp_path, curriculum):
    assert draw(tmp_path, ranks=None, curriculum=curriculum) == (AVAILABLE.tolist(), [])
    sample, hard = draw(tmp_path, ranks=None, curriculum=curriculum, queries_per_iteration=12)
    assert len(set(sample)) == 12 and hard == []


def test_all_adds_wrong_queries_to_a_sample_of_all(tmp_path):
    sample, hard = draw(tmp_path, queries_per_iteration=12)
    assert len(set(sample)) == 12 and not set(sample) <= WRONG
    assert len(set(hard)) == 6 and set(hard) <= WRONG
    everything, hard = draw(tmp_path)
    assert everything == AVAILABLE.tolist() and len(hard) == 20


def test_wrong_takes_only_what_the_student_got_wrong(tmp_path):
    sample, hard = draw(tmp_path, curriculum="wrong", queries_per_iteration=12)
    assert len(set(sample)) == 12 and set(sample) <= WRONG and hard == []
    assert set(draw(tmp_path, curriculum="wrong")[0]) == WRONG
    assert draw(tmp_path, ranks=np.ones_like(RANKS), curriculum="wrong") == (AVAILABLE.tolist(), [])


def test_weighted_draws_by_error(tmp_path):
    sample, hard = draw(tmp_path, curriculum="weighted", queries_per_iteration=12)
    assert len(set(sample)) == 12 and hard == []
    drawn = np.concatenate([draw(tmp_path, curriculum="weighted", iteration=i)[0] for i in range(1, 400)])
    share = np.array([np.isin(drawn, AVAILABLE[rank == RANKS]).mean() for rank in (1, 2, 0, 5)])
    np.testing.assert_allclose(share, np.array([0.1, 0.6, 1.1, 0.9]) / 2.7, atol=0.01)


def test_hard_queries_are_counted_under_every_curriculum(tmp_path):
    def count(ranks=RANKS, **changes):
        sample, extra = (np.array(one) for one in draw(tmp_path, ranks=ranks, queries_per_iteration=12, **changes))
        return count_hard(sample, extra, AVAILABLE, ranks), len(WRONG & set(sample.tolist()))

    assert count(curriculum="all")[0] == 6 and count(curriculum="wrong")[0] == 12
    hard, wrong_in_sample = count(curriculum="weighted")
    assert 0 < hard == wrong_in_sample
    assert count(ranks=None)[0] == count(ranks=np.ones_like(RANKS), curriculum="wrong")[0] == 0


def test_weighted_repeats_queries_where_everything_is_drawn(tmp_path):
    for size in (None, 40, 1000):
        sample, _ = draw(tmp_path, curriculum="weighted", queries_per_iteration=size)
        assert len(sample) == 40 and len(set(sample)) < 40


@pytest.mark.parametrize("curriculum", ["all", "wrong", "weighted"])
def test_draws_are_seeded(tmp_path, curriculum):
    options = {"curriculum": curriculum, "queries_per_iteration": 12}
    first = draw(tmp_path, **options)
    assert first == draw(tmp_path, **options)
    assert first != draw(tmp_path, iteration=2, **options) and first != draw(tmp_path, seed=1, **options)


def test_an_unknown_word_is_refused(tmp_path):
    with pytest.raises(InputError, match="curriculum"):
        toy_arguments(tmp_path, curriculum="easy")
