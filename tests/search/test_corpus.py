from __future__ import annotations

import numpy as np
import pytest
import torch

from st_mta.search import backends as search_backends
from st_mta.search import corpus as search_module
from st_mta.search.backends import BACKENDS, GROUP, best_columns, exact_search
from st_mta.search.corpus import pair_products, search_corpus
from st_mta.stores.embeddings import Embeddings

CPU = torch.device("cpu")


def in_memory(rows: np.ndarray) -> Embeddings:
    """Rows in two blocks, in mixed order."""
    order = np.random.default_rng(9).permutation(len(rows))
    half = len(rows) // 2
    place = np.empty(len(rows), dtype=np.int64)
    place[order] = np.arange(len(rows))
    return Embeddings(
        (rows[order[:half]], rows[order[half:]]), (place >= half).astype(np.int64), place - half * (place >= half)
    )


def brute_force(queries: np.ndarray, corpus: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(-(queries.astype(np.float64) @ corpus.T.astype(np.float64)), axis=1, kind="stable")[:, :k]


@pytest.fixture(params=BACKENDS)
def backend(request):
    return lambda corpus: BACKENDS[request.param](corpus, CPU, 30)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(search_module, "QUERIES_PER_PASS", 7)
    monkeypatch.setattr(search_backends, "SCORES_AT_ONCE", 7 * 30)
    monkeypatch.setattr(search_module, "PAIRS_AT_ONCE", 50)
    monkeypatch.setattr(search_module, "EXTRA", 2)


def random_rows(count: int, dim: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def test_the_best_are_those_of_a_full_sort(backend, small_blocks):
    queries, corpus = random_rows(20, seed=1), random_rows(200)
    scores, positions = search_corpus(in_memory(queries), in_memory(corpus), 10, backend(in_memory(corpus)))
    np.testing.assert_array_equal(positions, brute_force(queries, corpus, 10))
    expected = np.take_along_axis(queries @ corpus.T, positions, axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    assert (scores.dtype, positions.dtype) == (np.float32, np.int64)


@pytest.mark.parametrize("copies", [3, 60])
def test_ties_go_to_the_lower_position_even_across_the_cut(backend, small_blocks, copies):
    """Passages repeated many times: more ties than passages fetched at first."""
    distinct = random_rows(200 // copies + 1)
    corpus = distinct[np.random.default_rng(3).integers(0, len(distinct), 200)]
    queries = random_rows(9, seed=1)
    scores, positions = search_corpus(in_memory(queries), in_memory(corpus), 10, backend(in_memory(corpus)))
    np.testing.assert_array_equal(positions, brute_force(queries, corpus, 10))
    for row_scores, row in zip(scores, positions):
        same = row_scores[1:] == row_scores[:-1]
        assert (np.diff(row)[same] > 0).all()
        assert same.any()


def test_many_ties_are_fetched_for_few_queries_at_once(small_blocks, monkeypatch):
    monkeypatch.setattr(search_module, "CANDIDATES_AT_ONCE", 400)
    corpus, queries, fetched = np.repeat(random_rows(2), 100, axis=0), random_rows(9, seed=1), []

    def search(rows, k):
        fetched.append((len(rows), k))
        return exact_search(in_memory(corpus), CPU)(rows, k)

    _, positions = search_corpus(in_memory(queries), in_memory(corpus), 10, search)
    np.testing.assert_array_equal(positions, brute_force(queries, corpus, 10))
    assert max(rows * k for rows, k in fetched if rows > 1) <= 400 and fetched[-1] == (2, 192)


def test_a_backend_that_rounds_coarsely_finds_the_same(small_blocks):
    """As a GPU does where TF32 is switched on."""
    queries, corpus = random_rows(20, seed=1), random_rows(200)
    noise = np.random.default_rng(5).uniform(-0.5, 0.5, (20, 200)).astype(np.float32)

    def search(rows, k):
        of_query = [int(np.flatnonzero((queries == row).all(axis=1))[0]) for row in rows]
        rough = rows @ corpus.T + noise[of_query]
        order = np.argsort(-rough, axis=1)[:, :k]
        return np.take_along_axis(rough, order, axis=1), order

    _, positions = search_corpus(in_memory(queries), in_memory(corpus), 10, search)
    np.testing.assert_array_equal(positions, brute_force(queries, corpus, 10))


def test_a_corpus_of_equal_passages_gives_the_first(backend, small_blocks):
    corpus = np.repeat(random_rows(1), 100, axis=0)
    _, positions = search_corpus(in_memory(random_rows(3, seed=1)), in_memory(corpus), 5, backend(in_memory(corpus)))
    assert positions.tolist() == [[0, 1, 2, 3, 4]] * 3


def test_a_corpus_smaller_than_k_fills_up(backend):
    corpus = random_rows(4)
    scores, positions = search_corpus(
        in_memory(random_rows(2, seed=1)), in_memory(corpus), 6, backend(in_memory(corpus))
    )
    assert (positions[:, 4:] == -1).all() and np.isneginf(scores[:, 4:]).all()
    assert sorted(positions[0, :4].tolist()) == [0, 1, 2, 3]


def test_no_queries_and_no_passages(backend):
    nothing, corpus = in_memory(random_rows(0)), in_memory(random_rows(4))
    assert search_corpus(nothing, corpus, 3, backend(corpus))[1].shape == (0, 3)
    assert (search_corpus(corpus, nothing, 3, exact_search(nothing, torch.device("cpu")))[1] == -1).all()


def test_negative_scores_are_found_too(backend):
    corpus = -np.abs(random_rows(50))
    queries = np.abs(random_rows(3, seed=1))
    scores, positions = search_corpus(in_memory(queries), in_memory(corpus), 5, backend(in_memory(corpus)))
    np.testing.assert_array_equal(positions, brute_force(queries, corpus, 5))
    assert (scores < 0).all()


def test_pair_products_are_rowwise_inner_products_wherever_a_pair_stands(monkeypatch):
    left, right = random_rows(30), random_rows(40, seed=1)
    random = np.random.default_rng(2)
    queries, passages = random.integers(0, 30, 500), random.integers(0, 40, 500)
    whole = pair_products(lambda rows: left[rows], lambda rows: right[rows], queries, passages)
    np.testing.assert_allclose(whole, (left[queries] * right[passages]).sum(axis=1), rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(search_module, "PAIRS_AT_ONCE", 7)
    np.testing.assert_array_equal(
        pair_products(lambda rows: left[rows], lambda rows: right[rows], queries, passages), whole
    )


@pytest.mark.parametrize("columns", [1, 5, 64, 4 * 3 * GROUP - 1, 4 * 3 * GROUP, 4 * 3 * GROUP + 37, 1000 * GROUP + 1])
def test_the_best_columns_are_those_of_topk(columns):
    scores = torch.from_numpy(np.random.default_rng(4).permutation(5 * columns).reshape(5, columns).astype(np.float32))
    values, where = best_columns(scores, 3)
    expected = scores.topk(min(3, columns), dim=1)
    torch.testing.assert_close(values.sort(dim=1, descending=True).values, expected.values, rtol=0, atol=0)
    torch.testing.assert_close(scores.gather(1, where), values, rtol=0, atol=0)


def test_all_the_best_in_one_group_or_after_the_last():
    scores = torch.zeros(2, 100 * GROUP + 9)
    scores[0, 70 * GROUP : 70 * GROUP + 5] = torch.arange(1.0, 6.0)
    scores[1, -5:] = torch.arange(1.0, 6.0)
    _, where = best_columns(scores, 5)
    assert sorted(where[0].tolist()) == list(range(70 * GROUP, 70 * GROUP + 5))
    assert sorted(where[1].tolist()) == list(range(100 * GROUP + 4, 100 * GROUP + 9))


def test_a_search_scores_with_the_bits_of_pair_products():
    queries, corpus = random_rows(20, seed=1), random_rows(300)
    scores, positions = search_corpus(in_memory(queries), in_memory(corpus), 10, exact_search(in_memory(corpus), CPU))
    pairs = np.repeat(np.arange(20), 10), positions.ravel()
    np.testing.assert_array_equal(scores.ravel(), pair_products(queries.__getitem__, corpus.__getitem__, *pairs))


def test_a_corpus_that_fits_stays_on_the_device(monkeypatch, small_blocks):
    corpus, read = in_memory(random_rows(200)), []
    sweep = Embeddings.sweep
    monkeypatch.setattr(Embeddings, "sweep", lambda self, size: read.append(size) or sweep(self, size))
    queries = in_memory(random_rows(20, seed=1))
    found = {}
    for room in (0, 4 * 200 * 24 - 1, 4 * 200 * 24):
        read.clear()
        monkeypatch.setattr(search_backends, "room_to_keep", lambda device, room=room: room)
        search = search_backends.float_search(corpus, CPU, 30)
        found[room, len(read)] = search_corpus(queries, corpus, 10, search)
        passes = len(read)
        found[room, passes] = search_corpus(queries, corpus, 10, search)
        assert len(read) == (1 if room == 4 * 200 * 24 else 2 * passes)
    (scores, positions), *others = found.values()
    for other_scores, other_positions in others:
        np.testing.assert_array_equal(other_scores, scores)
        np.testing.assert_array_equal(other_positions, positions)
