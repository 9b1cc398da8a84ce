from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from st_mta.scorers import inverted
from st_mta.scorers.inverted import InvertedIndex, Postings


def some_weights(rows: int, columns: int, seed: int) -> np.ndarray:
    """Few different values, so that many sums are equal; some are negative, some sums are zero."""
    random = np.random.default_rng(seed)
    return random.choice([0, 0, 0, 0, 1, 1, 2, -1], (rows, columns)).astype(np.float32)


@pytest.mark.parametrize("kind", [InvertedIndex, Postings])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_search_finds_what_the_whole_product_says(kind, threads, monkeypatch):
    monkeypatch.setattr(inverted, "QUERIES_AT_ONCE", 4)
    corpus, queries = some_weights(200, 12, 0), some_weights(30, 12, 1)
    queries[3] = 0
    product = queries.astype(np.float64) @ corpus.T.astype(np.float64)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = kind(sp.csc_matrix(corpus)).search(sp.csr_matrix(queries, dtype=np.float64), 7, "")
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for row, scores in enumerate(product):
        order = [place for place in np.argsort(-scores, kind="stable") if scores[place] != 0][:7]
        rest = 7 - len(order)
        assert found[1][row].tolist() == [*order, *[-1] * rest]
        assert found[0][row].tolist() == [*scores[order].tolist(), *[-np.inf] * rest]


@pytest.mark.parametrize("kind", [InvertedIndex, Postings])
def test_pairs_have_the_entries_of_the_product(kind, monkeypatch):
    monkeypatch.setattr(inverted, "PAIRS_AT_ONCE", 50)
    corpus, queries = some_weights(40, 12, 0), some_weights(9, 12, 1)
    corpus[:, 5], queries[2] = 0, 0
    rows, columns = np.divmod(np.random.default_rng(2).permutation(9 * 40), 40)
    scores = kind(sp.csc_matrix(corpus)).score(sp.csr_matrix(queries, dtype=np.float64), rows, columns)
    np.testing.assert_array_equal(scores, (queries @ corpus.T)[rows, columns])


def test_an_empty_index_scores_zero():
    empty, queries = Postings(sp.csc_matrix((3, 2), dtype=np.float32)), sp.csr_matrix(np.ones((1, 2)))
    assert empty.score(queries, np.array([0, 0]), np.array([2, 0])).tolist() == [0, 0]
    assert empty.search(queries, 2, "")[1].tolist() == [[-1, -1]]
