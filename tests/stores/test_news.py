from __future__ import annotations

import numpy as np
import pytest

from st_mta.stores import scores as scores_module
from st_mta.stores.news import News
from st_mta.stores.scores import ScoreStore


def keys(*values):
    return np.array(values, dtype=np.uint64)


@pytest.mark.parametrize("size", [1, 3, 64])
def test_what_is_found_is_the_smallest_score_of_each_pair(size):
    random, news, expected = np.random.default_rng(size), News(), {}
    for _ in range(20):
        queries, passages = random.integers(0, 9, (2, size)).astype(np.uint64) * np.uint64(2**60 + 7)
        scores = random.choice([1.0, 2.0, 3.0, np.nan, np.inf], size).astype(np.float32)
        news.add(queries, passages, scores)
        for query, passage, score in zip(queries.tolist(), passages.tolist(), scores.tolist()):
            if np.isfinite(score):
                expected[query, passage] = min(score, expected.get((query, passage), np.inf))
    wanted = random.integers(0, 10, (2, 50)).astype(np.uint64) * np.uint64(2**60 + 7)
    found = news.find(*wanted)
    known = [expected.get(pair, np.nan) for pair in zip(*wanted.tolist())]
    np.testing.assert_array_equal(found, np.array(known, dtype=np.float32))
    lengths = [len(run.mixed) for run in news._runs]
    assert all(first >= 2 * second for first, second in zip(lengths, lengths[1:]))
    assert sum(lengths) >= len(expected)


def test_a_part_of_another_process_is_read_once(tmp_path, monkeypatch):
    ours, theirs = ScoreStore(tmp_path), ScoreStore(tmp_path)
    ours.lookup("f", keys(1), keys(1))
    read, table_of = [], scores_module._table_of
    monkeypatch.setattr(scores_module, "_table_of", lambda part: (read.append(part.name), table_of(part))[1])
    for number in range(3):
        theirs.append("f", keys(number), keys(2), np.array([float(number)]))
        ours.append("f", keys(number), keys(3), np.array([9.0]))
        with ours.claim("f", keys(0, 1, 2), keys(2, 2, 2)) as (free, scores):
            assert free.all()
        assert np.isfinite(scores).tolist() == [True, number >= 1, number >= 2]
    assert len(read) == len(set(read)) == 3
    ours.lookup("f", keys(1), keys(2))
    with ours.claim("f", keys(0), keys(2)) as (_, scores):  # what was looked up is no news
        assert np.isnan(scores).all()


def test_news_that_were_merged_meanwhile_are_found(tmp_path, monkeypatch):
    ours, theirs = ScoreStore(tmp_path), ScoreStore(tmp_path)
    ours.lookup("f", keys(1), keys(1))
    for number in range(70):
        theirs.append("f", keys(number), keys(2), np.array([float(number)]))
    theirs.lookup("f", keys(1), keys(1))
    assert len(theirs.parts("f")) == 1
    with ours.claim("f", keys(69, 70), keys(2, 2)) as (_, scores):
        np.testing.assert_array_equal(scores, np.array([69, np.nan], dtype=np.float32))
