"""One store, several processes: cleared in mid-run, filled by two at once, killed at any moment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.scorers.base import PairScorer
from st_mta.stores import Store, claims, parts, text_keys
from st_mta.stores.claims import claimed
from st_mta.stores.scores import ScoreStore
from st_mta.types import Texts

N = 60
TEXTS = Texts([f"t{i}" for i in range(N)], [f"{i} " + "x" * (i * 7 % 50) for i in range(N)])
ALL = np.arange(N)
KEYS = text_keys(TEXTS)


def rows_of(batch):
    return np.asarray([[float(text.split()[0]), len(text)] for text in batch], dtype=np.float32)


def batch_of(batch):
    """Embeddings that depend on what they are computed with, as sums in float32 do."""
    return np.column_stack([rows_of(batch), np.full(len(batch), sum(map(len, batch)))]).astype(np.float32)


def get(store, encode=rows_of, block_size=5, positions=ALL, role="document"):
    return store.embeddings.get("f", role, TEXTS, positions, encode, block_size=block_size)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def clears(folder, at, work=rows_of, how=None):
    """Encodes, and clears the store in between when called for the ``at``-th time."""
    calls: list[int] = []

    def encode(batch):
        calls.append(len(batch))
        if len(calls) == at:
            (how or (lambda: Store(folder).clear()))()
        return work(batch)

    return encode


@pytest.mark.parametrize("at", [1, 2, 7, 12])
@pytest.mark.parametrize("how", ["clear", "rmtree", "one file"])
def test_a_store_cleared_while_a_corpus_is_encoded(store, at, how):
    folder = store.folder / "embeddings"

    def remove():
        for path in list(folder.rglob("part-*"))[: 1 if how == "one file" else None]:
            path.unlink(missing_ok=True)
        if how == "rmtree":
            shutil.rmtree(folder)

    found = get(store, clears(store.folder, at, how=None if how == "clear" else remove))
    np.testing.assert_array_equal(found.rows(slice(None)), rows_of(TEXTS.take(ALL)))


def test_a_store_cleared_between_two_requests(store):
    get(store, positions=ALL[:20])
    first = get(store, positions=ALL[5:30])
    Store(store.folder).clear()
    np.testing.assert_array_equal(first.rows(slice(None)), rows_of(TEXTS.take(ALL[5:30])))  # still mapped
    found = get(store, positions=ALL[:40])
    np.testing.assert_array_equal(found.rows(slice(None)), rows_of(TEXTS.take(ALL[:40])))


def test_a_store_that_is_always_empty_is_an_error_and_no_endless_loop(store):
    def encode(batch):
        for path in store.folder.rglob("part-*"):
            path.unlink()
        return rows_of(batch)

    with pytest.raises(InputError, match="vanished"):
        get(store, encode)


def test_scores_of_a_store_cleared_while_pairs_are_scored(store):
    scorer = Scorer(store, clear_at=3)
    assert scorer.score(TEXTS, TEXTS, ALL, ALL).tolist() == ALL.tolist()
    assert scorer.score(TEXTS, TEXTS, ALL, ALL).tolist() == ALL.tolist()
    assert Store(store.folder).scores.count("own") == N


@pytest.mark.parametrize("at", ["folder", "file", "flush"])
def test_a_folder_that_vanishes_while_a_part_is_written(store, monkeypatch, at):
    atomic_path, left = parts.atomic_path, [2]

    def sabotaged(path):
        left[0] -= 1
        if left[0] == 0:
            raise FileNotFoundError(2, "No such file", str(path))
        return atomic_path(path)

    left[0] = {"folder": 1, "file": 2, "flush": 1}[at]
    monkeypatch.setattr(parts, "atomic_path", sabotaged)
    found = get(store)
    np.testing.assert_array_equal(found.rows(slice(None)), rows_of(TEXTS.take(ALL)))


class Killed(BaseException):
    pass


@pytest.mark.parametrize(("block_size", "before"), [(1, 0), (2, 0), (2, 13)])
def test_embeddings_after_a_kill_are_those_without_one_bit_for_bit(tmp_path, block_size, before):
    """With more than 16 blocks, so that the kill falls into a window, and with some texts stored earlier."""

    def run(folder, kill_at=None):
        calls: list[int] = []

        def encode(batch):
            calls.append(1)
            if len(calls) == kill_at:
                raise Killed
            return batch_of(batch)

        return get(Store(folder), encode, block_size)

    def fresh(name):
        if before:
            get(Store(tmp_path / name), batch_of, block_size, ALL[3 : 3 + before])
        return tmp_path / name

    expected = run(fresh("whole")).rows(slice(None))
    for kill_at in (5, 18):
        with pytest.raises(Killed):
            run(fresh(f"k{kill_at}"), kill_at)
        with pytest.raises(Killed):
            run(tmp_path / f"k{kill_at}", 2)
        np.testing.assert_array_equal(run(tmp_path / f"k{kill_at}").rows(slice(None)), expected)


def test_a_damaged_block_is_encoded_as_it_was(tmp_path):
    expected = get(Store(tmp_path), batch_of, 2).rows(slice(None))
    for path in sorted((tmp_path / "embeddings" / "f" / "document").glob("*.keys.npy"))[3::9]:
        path.write_bytes(b"rot")
    np.testing.assert_array_equal(get(Store(tmp_path), batch_of, 2).rows(slice(None)), expected)


class Scorer(PairScorer):
    """Gives the passage's number; may wait for another at each part, or clear the store."""

    kind, fingerprint, part_size = "own", "own", 7

    def __init__(self, store, meet=None, clear_at=0):
        super().__init__("own", store, self.part_size)
        self.meet, self.clear_at, self.calls = meet, clear_at, 0
        self.computed: list[str] = []

    def predict(self, queries, passages):
        self.calls += 1
        if self.calls == self.clear_at:
            Store(self.store.folder).clear()
        if self.meet is not None:
            time.sleep(self.meet)
        self.computed += passages
        return np.asarray([float(text.split()[0]) for text in passages])


def together(*work):
    threads = [threading.Thread(target=one) for one in work]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]


@pytest.mark.parametrize("runs", [2, 4])
def test_runs_at_once_score_each_pair_once(store, runs):
    scorers = [Scorer(Store(store.folder), meet=0.01) for _ in range(runs)]
    scores = []
    together(*(lambda one=one: scores.append(one.score(TEXTS, TEXTS, ALL, ALL)) for one in scorers))
    assert all(found.tolist() == ALL.tolist() for found in scores) and len(scores) == runs
    assert store.scores.count("own") == N == sum(len(one.computed) for one in scorers)
    assert sum(one.store.ledger.pairs_scored for one in scorers) == N
    assert sum(one.store.ledger.pairs_reused for one in scorers) == (runs - 1) * N


def test_runs_at_once_whose_pairs_overlap(store):
    chosen = [ALL[:40], ALL[20:], np.random.default_rng(0).permutation(ALL)]
    scorers = [Scorer(Store(store.folder), meet=0.01) for _ in chosen]
    scores: dict[int, list[float]] = {}
    together(
        *(
            lambda i=i, one=one, of=of: scores.update({i: one.score(TEXTS, TEXTS, of, of).tolist()})
            for i, (one, of) in enumerate(zip(scorers, chosen))
        )
    )
    assert scores == {i: of.tolist() for i, of in enumerate(chosen)}
    assert store.scores.count("own") == N


def test_runs_at_once_encode_each_text_once(store):
    texts: list[str] = []

    def encode(batch):
        time.sleep(0.01)
        texts.extend(batch)
        return rows_of(batch)

    found = []
    together(*(lambda: found.append(get(Store(store.folder), encode).rows(slice(None))) for _ in range(3)))
    assert len(texts) == N and len(found) == 3
    for rows in found:
        np.testing.assert_array_equal(rows, rows_of(TEXTS.take(ALL)))


HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "rb+")
fcntl.flock(file, fcntl.LOCK_SH)
print("held", flush=True)
time.sleep(60)
"""


def held_by_another_process(path):
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    return other


def test_the_claims_of_a_killed_process_are_free_and_those_of_a_living_one_are_not(tmp_path):
    keys = np.arange(5, 15, dtype=np.uint64)
    claim = tmp_path / "locks" / f"own-{'0' * 32}.claim"
    claim.parent.mkdir()
    claim.write_bytes(np.arange(10, dtype=np.uint64).tobytes())
    with held_by_another_process(claim) as other:
        with claimed(tmp_path, "own", keys) as free:
            assert free.tolist() == [False] * 5 + [True] * 5
        with claimed(tmp_path, "another", keys) as free:
            assert free.all()
        other.kill()
    with claimed(tmp_path, "own", keys, wait=True) as free:
        assert free.all()
    assert not list(tmp_path.rglob("*.claim"))


def test_nobody_waits_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "PATIENCE", 0.2)
    keys = np.arange(3, dtype=np.uint64)
    with claimed(tmp_path, "f", keys), claimed(tmp_path, "f", keys, wait=True) as free:
        assert free.all()


def test_a_claim_ends_with_its_block_also_after_an_error(tmp_path):
    keys = np.arange(3, dtype=np.uint64)
    with pytest.raises(RuntimeError), claimed(tmp_path, "f", keys):
        raise RuntimeError
    with claimed(tmp_path, "f", keys) as free:
        assert free.all()


# Merging small parts.


def fill(store, number, start=0):
    for i in range(start, start + number):
        keys = np.asarray([i, i + 1], dtype=np.uint64)  # each pair stands in two parts
        store.append("f", keys, keys, np.asarray([i, i + 1.0]))


def expected_of(store, number):
    keys = np.arange(number, dtype=np.uint64)
    np.testing.assert_array_equal(store.lookup("f", keys, keys), keys.astype(np.float32))


def part_names(store):
    return sorted(path.name for path in (store.folder / "f").glob("part-*"))


def test_many_small_parts_become_one_and_no_score_is_lost(tmp_path):
    store = ScoreStore(tmp_path)
    fill(store, 63)
    expected_of(store, 64)
    assert len(part_names(store)) == 63
    fill(store, 40, start=63)
    expected_of(store, 104)
    assert len(part_names(store)) == 1 and store.count("f") == 104
    expected_of(ScoreStore(tmp_path), 104)


def test_large_parts_stay_as_they_are(tmp_path, monkeypatch):
    store = ScoreStore(tmp_path)
    monkeypatch.setattr("st_mta.stores.scores.SMALL", 0)
    fill(store, 70)
    expected_of(store, 71)
    assert len(part_names(store)) == 70


def test_parts_are_merged_into_some_of_a_size(tmp_path, monkeypatch):
    monkeypatch.setattr("st_mta.stores.scores.MERGED_ROWS", 50)
    store = ScoreStore(tmp_path)
    fill(store, 70)
    expected_of(store, 71)
    assert len(part_names(store)) == 3


def test_a_damaged_part_among_those_merged_is_set_aside(tmp_path, caplog):
    store = ScoreStore(tmp_path)
    fill(store, 70)
    (tmp_path / "f" / part_names(store)[4]).write_bytes(b"rot")
    keys = np.arange(71, dtype=np.uint64)
    found = store.lookup("f", keys, keys)
    assert np.isnan(found).sum() <= 1 and caplog.text.count("scored again") == 1
    np.testing.assert_array_equal(found[~np.isnan(found)], keys[~np.isnan(found)].astype(np.float32))
    assert len([name for name in part_names(store) if not name.endswith(".damaged")]) == 1


@pytest.mark.parametrize("at", [0, 1, 2, 40])
def test_a_kill_while_old_parts_are_deleted_loses_and_doubles_nothing(tmp_path, monkeypatch, at):
    store, left = ScoreStore(tmp_path), [at]
    fill(store, 70)
    unlink = type(tmp_path).unlink

    def die(path, missing_ok=False):
        if path.name.startswith("part-"):
            if not left[0]:
                raise Killed
            left[0] -= 1
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(type(tmp_path), "unlink", die)
        expected_of(store, 71)
    again = ScoreStore(tmp_path)
    assert len(part_names(again)) == 71 - at
    expected_of(again, 71)
    fill(again, 64, start=71)
    expected_of(again, 136)
    assert again.count("f") == 136


def test_a_part_that_vanishes_between_listing_and_reading(tmp_path, monkeypatch):
    """As for a reader while another process merges."""
    store, other = ScoreStore(tmp_path), ScoreStore(tmp_path)
    fill(store, 70)
    join = store._join_whole
    monkeypatch.setattr("st_mta.stores.compaction.MOST_SMALL", 10**6)

    def late(listed, *keys):
        monkeypatch.undo()
        expected_of(other, 71)
        assert not all(part.exists() for part in listed)
        return join(listed, *keys)

    monkeypatch.setattr(store, "_join_whole", late)
    expected_of(store, 71)


def test_merging_while_others_write_and_read(tmp_path, monkeypatch):
    monkeypatch.setattr("st_mta.stores.compaction.MOST_SMALL", 5)

    def work(writer):
        store = ScoreStore(tmp_path)
        for i in range(12):
            fill(store, 1, start=100 * writer + i)
            keys = np.arange(100 * writer, 100 * writer + i + 1, dtype=np.uint64)
            np.testing.assert_array_equal(store.lookup("f", keys, keys), keys.astype(np.float32))
        done.append(writer)

    done: list[int] = []
    together(*(lambda writer=writer: work(writer) for writer in range(3)))
    assert sorted(done) == [0, 1, 2]


def test_a_store_that_cannot_be_written_is_read_without_merging(tmp_path, monkeypatch):
    store = ScoreStore(tmp_path)
    fill(store, 70)

    def refuse(path, *_):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr("st_mta.stores.locks.open_lock", refuse)
    expected_of(store, 71)
    assert len(part_names(store)) == 70


def test_small_blocks_of_embeddings_are_merged(tmp_path):
    store = Store(tmp_path)
    texts = Texts([str(i) for i in range(140)], [f"{i} text" for i in range(140)])
    for start in range(0, 140, 2):
        store.embeddings.get("f", "query", texts, np.arange(start, start + 2), rows_of)
    folder = tmp_path / "embeddings" / "f" / "query"
    kept = store.embeddings.get("f", "query", texts, np.arange(40), rows_of)
    assert 2 <= len(list(folder.iterdir())) < 30
    for one in (store, Store(tmp_path)):
        found = one.embeddings.get("f", "query", texts, np.arange(140), None)  # nothing is encoded
        np.testing.assert_array_equal(found.rows(slice(None)), rows_of(texts.take(np.arange(140))))
    np.testing.assert_array_equal(kept.rows(slice(None)), rows_of(texts.take(np.arange(40))))
    assert store.embeddings.count("f") == 140


def test_the_permissions_of_stored_files_are_those_of_the_umask(store):
    old = os.umask(0o027)
    try:
        get(store, positions=ALL[:2])
        fill(store.scores, 1)
        store.describe("f", "name", "kind")
    finally:
        os.umask(old)
    modes = {path.stat().st_mode & 0o777 for path in store.folder.rglob("*") if path.is_file()}
    assert modes == {0o640}
