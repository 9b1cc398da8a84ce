from __future__ import annotations

import numpy as np
import pytest
import torch

from st_mta.search import integer as module
from st_mta.search.backends import float_search
from st_mta.search.corpus import search_corpus
from st_mta.search.integer import integer_search
from st_mta.search.integer_products import integer_products_are_fast
from tests.search.test_corpus import brute_force, in_memory, random_rows

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def for_small_corpora(monkeypatch):
    monkeypatch.setattr(module, "FEWEST_QUERIES", 1)
    monkeypatch.setattr(module, "FEWEST_PASSAGES", 1)
    monkeypatch.setattr(module, "SAMPLE", (1000, 1000))
    monkeypatch.setattr(module, "QUERIES_AT_ONCE", 7)


def searched(queries: np.ndarray, corpus: np.ndarray, k: int = 5, block_size: int = 300):
    """Scores, positions, and how many queries the exact search took over."""
    taken_over = []

    def exact(rows, wanted):
        taken_over.append(len(rows))
        return float_search(in_memory(corpus), CPU)(rows, wanted)

    search = integer_search(in_memory(corpus), exact, block_size)
    return *search_corpus(in_memory(queries), in_memory(corpus), k, search), sum(taken_over)


@pytest.mark.parametrize("block_size", [2**11, 300, 17])
def test_it_finds_what_a_full_sort_finds(block_size):
    """Also where blocks are no multiples of a group, and queries none of what is compared at once."""
    queries, corpus = random_rows(20, seed=1), random_rows(3001)
    scores, positions, taken_over = searched(queries, corpus, block_size=block_size)
    np.testing.assert_array_equal(positions, brute_force(queries, corpus, 5))
    np.testing.assert_allclose(scores, np.take_along_axis(queries @ corpus.T, positions, axis=1), rtol=1e-5)
    assert taken_over <= 4


def test_embeddings_that_all_point_one_way_lose_nothing_in_the_rounding():
    queries, corpus = random_rows(20, seed=1), random_rows(3000) + 100 * random_rows(1, seed=2)
    _, positions, taken_over = searched(queries, corpus)
    np.testing.assert_array_equal(positions, brute_force(queries, corpus, 5))
    assert taken_over <= 4


def test_passages_of_very_different_length():
    queries = random_rows(20, seed=1)
    corpus = random_rows(3000) * np.random.default_rng(3).lognormal(0, 2, (3000, 1)).astype(np.float32)
    np.testing.assert_array_equal(searched(queries, corpus)[1], brute_force(queries, corpus, 5))


def test_very_long_passages_do_not_hide_their_neighbours():
    """They are far from every query, and what shares a group with one is rounded to almost nothing."""
    queries, corpus = np.abs(random_rows(40, seed=1)), random_rows(3001)
    corpus[::400] = -1000 * np.abs(corpus[::400])
    np.testing.assert_array_equal(searched(queries, corpus)[1], brute_force(queries, corpus, 5))


def test_the_best_may_all_stand_together():
    """A corpus sorted by its scores: the first blocks hold nothing, the last everything."""
    queries = np.repeat(random_rows(1, seed=1), 9, axis=0)
    corpus = random_rows(3000)
    corpus = corpus[np.argsort(corpus @ queries[0])]
    _, positions, _ = searched(queries, corpus)
    np.testing.assert_array_equal(positions, brute_force(queries, corpus, 5))


def test_the_wanted_may_lie_below_the_mean():
    """Where few passages are far above all others, blocks filled up with the mean would win."""
    queries = np.abs(random_rows(9, seed=1))
    corpus = random_rows(3001)
    corpus[:30] = 1000 * np.abs(corpus[:30])
    _, positions, _ = searched(queries, corpus, k=50, block_size=17)
    np.testing.assert_array_equal(positions, brute_force(queries, corpus, 50))


def test_passages_that_are_the_mean_itself(monkeypatch):
    """Nothing is left of them: as bounds in their steps, scores are infinite."""
    monkeypatch.setattr(module, "SAMPLE", (3001, 3001))
    corpus = np.zeros((3001, 24), dtype=np.float32)
    corpus[:600] = np.random.default_rng(0).integers(-9, 10, (600, 24))
    corpus[600:1200] = -corpus[:600]
    queries = random_rows(20, seed=1)
    _, positions, taken_over = searched(queries, corpus, block_size=17)
    np.testing.assert_array_equal(positions, brute_force(queries, corpus, 5))
    assert taken_over <= 4


def test_repeated_passages_go_by_position():
    queries, corpus = random_rows(9, seed=1), np.repeat(random_rows(300), 10, axis=0)
    np.testing.assert_array_equal(searched(queries, corpus)[1], brute_force(queries, corpus, 5))


def test_copies_of_a_few_texts_are_searched_exactly():
    """All would be kept as equally good, for every query: more than memory may hold."""
    queries, corpus, asked = random_rows(20, seed=1), np.repeat(random_rows(2), 1501, axis=0), []

    def exact(rows, wanted):
        asked.append((len(rows), wanted))
        return float_search(in_memory(corpus), CPU)(rows, wanted)

    scores, _ = integer_search(in_memory(corpus), exact, 300)(queries, 21)
    assert asked == [(20, 21)]
    np.testing.assert_allclose(scores, np.repeat((queries @ corpus.T).max(axis=1)[:, None], 21, axis=1), rtol=1e-5)


def test_a_query_that_hopes_for_too_much_is_searched_exactly(monkeypatch):
    monkeypatch.setattr(module, "_rank_in_sample", lambda expected: 1)
    queries, corpus = random_rows(20, seed=1), random_rows(3000)
    _, positions, taken_over = searched(queries, corpus)
    np.testing.assert_array_equal(positions, brute_force(queries, corpus, 5))
    assert taken_over >= 15


@pytest.mark.parametrize("setting, value", [("FEWEST_QUERIES", 21), ("FEWEST_PASSAGES", 3001), ("SAMPLE", (64, 64))])
def test_the_exact_search_takes_what_does_not_pay(monkeypatch, setting, value):
    monkeypatch.setattr(module, setting, value)
    queries, corpus = random_rows(20, seed=1), random_rows(3000)
    _, positions, taken_over = searched(queries, corpus)
    np.testing.assert_array_equal(positions, brute_force(queries, corpus, 5))
    assert taken_over == 20


@pytest.mark.parametrize("expected", [0.5, 16.6, 400.0])
def test_the_rank_in_the_sample_allows_for_luck(expected):
    rank = module._rank_in_sample(expected)
    assert rank - module.DEVIATIONS * rank**0.5 >= expected > rank - 1 - module.DEVIATIONS * (rank - 1) ** 0.5


def test_the_threads_of_torch_are_as_before():
    before = torch.get_num_threads()
    searched(random_rows(20, seed=1), random_rows(3000))
    assert torch.get_num_threads() == before


def test_what_is_private_in_torch_is_where_it_was():
    """Where it is not, or rounds, the search in float32 does everything, two times more slowly."""
    assert hasattr(torch, "_int_mm")
    left = torch.randint(-128, 128, (33, 24), dtype=torch.int8)
    right = torch.randint(-128, 128, (24, 7), dtype=torch.int8)
    products = torch.empty(33, 7, dtype=torch.int32)
    torch._int_mm(left, right, out=products)
    exact = torch.equal(products, left.int() @ right.int())
    assert integer_products_are_fast() == (torch.cpu._is_vnni_supported() and exact)


@pytest.mark.parametrize(("supported", "cut_off"), [(False, False), (True, True)])
def test_integers_that_are_slow_or_cut_off_are_not_used(monkeypatch, supported, cut_off):
    integer_products_are_fast.cache_clear()
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: supported)
    exactly = torch._int_mm
    monkeypatch.setattr(
        torch, "_int_mm", lambda a, b: exactly(a, b).clamp(max=2**15 - 1) if cut_off else exactly(a, b)
    )
    assert not integer_products_are_fast()
    integer_products_are_fast.cache_clear()
