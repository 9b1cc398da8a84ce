from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.stores import parts
from st_mta.stores import scores as scores_module
from st_mta.stores.scores import ScoreStore


def keys(*values: int) -> np.ndarray:
    return np.asarray(values, dtype=np.uint64)


@pytest.fixture
def store(tmp_path) -> ScoreStore:
    return ScoreStore(tmp_path / "scores")


def files(store: ScoreStore, fingerprint: str = "f") -> list[str]:
    return sorted(path.name for path in (store.folder / fingerprint).iterdir())


def test_lookup_equals_a_dictionary(store, monkeypatch):
    monkeypatch.setattr(scores_module, "SLICE", 100)  # several slices
    random = np.random.default_rng(0)
    known: dict[tuple[int, int], float] = {}
    for _ in range(4):
        queries, passages = random.integers(0, 30, 200, np.uint64), random.integers(0, 30, 200, np.uint64)
        distinct = random.permutation(np.unique(np.stack([queries, passages]), axis=1), axis=1)
        # The smallest of several scores of a pair holds, wherever it was written.
        values = random.normal(size=distinct.shape[1]).astype(np.float32)
        for query, passage, value in zip(*distinct.tolist(), values.tolist()):
            known[query, passage] = min(value, known.get((query, passage), np.inf))
        store.append("f", distinct[0], distinct[1], values)
    queries, passages = random.integers(0, 40, 950, np.uint64), random.integers(0, 40, 950, np.uint64)
    found = store.lookup("f", queries, passages)
    expected = [known.get(pair, np.nan) for pair in zip(queries.tolist(), passages.tolist())]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.asarray(expected, dtype=np.float32))
    assert 0 < np.isnan(found).sum() < 950


def test_keys_above_the_range_of_int64_are_kept(store):
    largest = 2**64 - 1
    store.append("f", keys(largest), keys(2**63), np.array([1.5]))
    assert store.lookup("f", keys(largest, largest - 1), keys(2**63, 2**63)).tolist()[0] == 1.5


def test_query_and_passage_are_not_exchangeable(store):
    store.append("f", keys(1), keys(2), np.array([1.0]))
    assert np.isnan(store.lookup("f", keys(2), keys(1))).all()


def test_scorers_do_not_see_each_other(store):
    store.append("f", keys(1), keys(2), np.array([1.0]))
    assert np.isnan(store.lookup("g", keys(1), keys(2))).all()


def test_nothing_to_look_up(store):
    store.append("f", keys(), keys(), np.zeros(0))
    assert store.parts("f") == []
    store.append("f", keys(1), keys(2), np.array([1.0]))
    assert store.lookup("f", keys(), keys()).shape == (0,)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused_before_writing(store, broken):
    with pytest.raises(InputError, match="(?s)scorer f.*1 of 3.*query key 8 and passage key 9"):
        store.append("f", keys(7, 8, 7), keys(9, 9, 8), np.array([1.0, broken, 2.0]))
    assert not (store.folder / "f").exists()


def damage_by_cutting(path):
    path.write_bytes(path.read_bytes()[:-20])


def damage_by_emptying(path):
    path.write_bytes(b"")


def damage_a_page(path):
    content = bytearray(path.read_bytes())
    content[4:40] = bytes(36)  # behind the magic bytes, the footer stays whole
    path.write_bytes(bytes(content))


def damage_by_other_columns(path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"query": [1], "score": [2.0]}), path)


@pytest.mark.parametrize("damage", [damage_by_cutting, damage_by_emptying, damage_a_page, damage_by_other_columns])
def test_a_damaged_part_is_set_aside_and_said(store, damage, caplog):
    store.append("f", keys(1), keys(2), np.array([1.0]))
    (part,) = store.parts("f")
    store.append("f", keys(3), keys(4), np.array([2.0]))
    damage(part)
    with caplog.at_level(logging.WARNING):
        found = ScoreStore(store.folder).lookup("f", keys(1, 3), keys(2, 4))
    np.testing.assert_array_equal(found, np.array([np.nan, 2.0], dtype=np.float32))
    assert part.name + ".damaged" in files(store)
    assert part.name in caplog.text and "scored again" in caplog.text


def test_a_part_damaged_while_the_store_is_open_is_set_aside(store):
    store.append("f", keys(1), keys(2), np.array([1.0]))
    store.append("f", keys(3), keys(4), np.array([2.0]))
    damage_by_cutting(store.parts("f")[0])
    found = store.lookup("f", keys(1, 3), keys(2, 4))
    assert np.isnan(found).sum() == 1
    assert sum(name.endswith(".damaged") for name in files(store)) == 1


def test_writers_at_the_same_time_lose_nothing(store):
    def write(writer: int) -> None:
        for part in range(5):
            ScoreStore(store.folder).append("f", keys(writer), keys(part), np.array([10.0 * writer + part]))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    writers, parts = np.divmod(np.arange(40, dtype=np.uint64), np.uint64(5))
    np.testing.assert_array_equal(store.lookup("f", writers, parts), 10.0 * writers + parts)


def die_in_the_middle_of_writing(store: ScoreStore) -> None:
    atomic_path = parts.atomic_path

    @contextmanager
    def write_half_and_die(path):
        with atomic_path(path) as temporary:
            yield temporary
            os.truncate(temporary, os.path.getsize(temporary) // 2)
            os._exit(9)  # nothing is cleaned up, as when killed

    parts.atomic_path = write_half_and_die
    store.append("f", keys(1), keys(2), np.array([2.0]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_killed_writer_leaves_finished_parts_and_no_half_one(store):
    store.append("f", keys(1), keys(1), np.array([1.0]))
    child = os.fork()
    if child == 0:
        try:
            die_in_the_middle_of_writing(store)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert len(files(store)) == 2  # the finished part and a temporary file
    found = ScoreStore(store.folder).lookup("f", keys(1, 1), keys(1, 2))
    np.testing.assert_array_equal(found, np.array([1.0, np.nan], dtype=np.float32))
    assert not any(name.endswith(".damaged") for name in files(store))


def test_the_disk_used_for_large_joins_is_the_stores_own(store):
    with store._connection() as connection:
        (folder,) = connection.sql("SELECT current_setting('temp_directory')").fetchall()[0]
        (limit,) = connection.sql("SELECT current_setting('memory_limit')").fetchall()[0]
    assert str(store.folder) in folder
    assert "GiB" in limit
