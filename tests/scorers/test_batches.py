from __future__ import annotations

import numpy as np
import pytest

from st_mta.scorers.batches import estimated_tokens, token_batches


@pytest.mark.parametrize("budget", [1, 50, 333, 10_000])
def test_batches_hold_every_text_once_within_the_budget(budget):
    tokens = np.random.default_rng(0).integers(1, 80, 200)
    batches = list(token_batches(tokens, budget))
    assert sorted(np.concatenate(batches).tolist()) == list(range(200))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * tokens[batch].max() <= budget
    longest = [tokens[batch].max() for batch in batches]
    assert longest == sorted(longest, reverse=True)


def test_batches_are_as_large_as_the_budget_allows():
    assert [len(batch) for batch in token_batches(np.full(10, 5), 20)] == [4, 4, 2]


def test_no_texts_give_no_batches():
    assert list(token_batches(estimated_tokens([], 8), 20)) == []


def test_estimates_grow_with_bytes_up_to_the_maximum_length():
    short, chinese, long = estimated_tokens(["cat", "猫" * 20, "word " * 100], None)
    assert short < chinese < long
    assert 15 <= chinese <= 30
    assert 100 <= long <= 160
    assert estimated_tokens(["word " * 100], 32).tolist() == [32]


def test_packed_batches_hold_their_tokens_and_no_padding():
    tokens = np.array([3, 9, 1, 5, 2])
    assert [tokens[batch].tolist() for batch in token_batches(tokens, 10, packed=True)] == [[9], [5, 3, 2], [1]]
    assert list(token_batches(np.zeros(0, dtype=np.int64), 10, packed=True)) == []
