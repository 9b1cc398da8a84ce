"""What clearing and shrinking a store deletes, and what it leaves."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.scorers import BM25
from st_mta.stores import Store
from st_mta.types import Texts
from tests.stores.test_sharing import held_by_another_process

F, G = "f" * 32, "e" * 32
KEYS = np.arange(500, dtype=np.uint64)
TEXTS = Texts(["a", "b"], ["cat", "dog"])
DAY = 86_400


def fill(folder, *fingerprints):
    store = Store(folder)
    for fingerprint in fingerprints:
        store.describe(fingerprint, f"name of {fingerprint[0]}", "kind")
        store.scores.append(fingerprint, KEYS, KEYS, np.random.default_rng(0).random(500))
        store.embeddings.get(fingerprint, "query", TEXTS, np.arange(2), lambda batch: np.ones((len(batch), 3)))
    return store


@pytest.fixture
def store(tmp_path):
    return fill(tmp_path / "store", F, G)


def age(store, fingerprint, days):
    """As if a scorer was last used so many days ago."""
    for path in store.folder.rglob("*"):
        if fingerprint in str(path):
            os.utime(path, (time.time() - days * DAY,) * 2)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


FOREIGN = [
    "thesis.tex",
    "scores/notes.txt",
    f"scores/{F}/README.md",
    f"scores/{F}/results.parquet",
    f"embeddings/{F}/query/mine.npy",
    f"scorers/{F}/config.json",
    "scores/mine/part.txt",
    "tensors/model.safetensors",
    "scores/locks/keep.me",
]


def test_only_files_that_a_store_writes_are_deleted(store):
    for name in FOREIGN:
        (store.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (store.folder / name).write_text("mine")
    used = sum(scorer.num_bytes for scorer in store.contents())
    assert store.clear() == used
    assert files(store.folder) == set(FOREIGN)
    assert store.contents() == [] and store.clear() == 0


def test_nothing_is_left_of_a_cleared_store(store):
    store.clear()
    assert {path.name for path in store.folder.rglob("*")} <= {"scores", "embeddings", "tensors", "scorers"}


def test_one_of_two_whose_names_begin_alike(tmp_path):
    store = fill(tmp_path, "ab", "abc")
    store.clear("ab")
    assert [scorer.fingerprint for scorer in store.contents()] == ["abc"]
    assert (tmp_path / "scorers" / "locks" / "abc.used").exists()


LEFT = [
    f"scores/{F}/.part-{'1' * 32}-{'2' * 16}.parquet-{'3' * 32}.tmp",
    f"scores/{F}/.part-{'1' * 32}.parquet-{'3' * 32}.tmp",
    f"scores/{F}/part-{'4' * 32}.parquet.damaged",
    f"embeddings/{F}/query/part-{'5' * 32}.npy",
    f"embeddings/{F}/document/part-{'6' * 32}.keys.npy",
    f"tensors/{F}/room/part-{'7' * 32}.safetensors.damaged",
    f"scorers/{F}/.scorer.json-{'8' * 32}.tmp",
]


def leave(store, names, days=0.0):
    for name in names:
        (store.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (store.folder / name).write_bytes(b"x" * 1000)
        os.utime(store.folder / name, (time.time() - days * DAY,) * 2)


def test_what_killed_runs_left_is_counted_and_cleared(store):
    before = {scorer.fingerprint: scorer for scorer in store.contents()}
    leave(store, LEFT)
    leave(store, ["scores/spill/duckdb_temp_storage-0.tmp", f"scores/{dead_spill()}/duckdb_temp_storage-0.tmp"])
    after = {scorer.fingerprint: scorer for scorer in store.contents()}
    assert (before[F].leftovers, after[F].leftovers, after[G].leftovers) == (0, 7000, 0)
    assert after[F].num_bytes == before[F].num_bytes + 7000
    assert store.spilled_bytes() == 2000
    age(store, F, 2)
    assert store.clear() == sum(scorer.num_bytes for scorer in after.values()) + 2000
    assert files(store.folder) == set()


def dead_spill():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return f"spill-{socket.gethostname()}-{process.pid}-00000000"


def test_what_a_living_process_is_writing_stays(store):
    leave(store, LEFT[:1])
    alive = f"scores/spill-{socket.gethostname()}-{os.getpid()}-00000000/duckdb_temp_storage-0.tmp"
    leave(store, [alive])
    with held_by_another_process(store.folder / "scorers" / "locks" / f"{F}.used") as other:
        store.clear()
        assert files(store.folder) == {LEFT[0], alive, f"scorers/locks/{F}.used"} | {
            name for name in files(store.folder) if "locks" in name and F in name
        }
        other.kill()
    assert store.clear() == 1000
    assert files(store.folder) == {alive}


def test_leftovers_of_a_day_go_when_a_store_is_shrunk_and_younger_ones_stay(store):
    leave(store, LEFT)
    whole = store.scores.count(F), store.embeddings.count(F)
    store.evict(max_bytes=10**9)
    unfinished = {name for name in LEFT if not name.endswith(".damaged")}
    assert unfinished <= files(store.folder) and not any(name.endswith("damaged") for name in files(store.folder))
    leave(store, LEFT, days=2)
    assert store.evict(max_bytes=10**9).deleted.freed == 7000
    assert not files(store.folder) & set(LEFT)
    assert (store.scores.count(F), store.embeddings.count(F)) == whole == (500, 2)


def test_what_was_not_used_for_long_goes(store):
    age(store, F, 31)
    done = store.evict(older_than=30 * DAY)
    assert [scorer.name for scorer in done.removed] == ["name of f"]
    assert [scorer.fingerprint for scorer in store.contents()] == [G]
    assert done.num_bytes == store.contents()[0].num_bytes and done.deleted.freed > 0
    assert store.evict(older_than=30 * DAY).removed == []


def test_a_look_up_is_a_use_and_listing_is_none(store):
    for fingerprint in (F, G):
        age(store, fingerprint, 31)
    store.contents()
    store.scores.lookup(F, KEYS, KEYS)
    assert [scorer.fingerprint for scorer in store.evict(older_than=30 * DAY).removed] == [G]


def test_embeddings_that_are_read_are_used(store):
    age(store, F, 31)
    store.embeddings.get(F, "query", TEXTS, np.arange(2), None)
    assert store.evict(older_than=30 * DAY).removed == []


def test_the_least_recently_used_goes_first_until_the_store_fits(tmp_path):
    store = fill(tmp_path, *(letter * 32 for letter in "abcd"))
    for days, fingerprint in enumerate("cadb"):
        age(store, fingerprint * 32, 10 - days)
    one = store.contents()[0].num_bytes
    done = store.evict(max_bytes=int(2.5 * one))
    assert [scorer.fingerprint[0] for scorer in done.removed] == ["c", "a"]
    assert done.num_bytes <= 2.5 * one
    assert [scorer.fingerprint[0] for scorer in store.evict(max_bytes=0).removed] == ["d", "b"]
    assert store.contents() == []


def test_what_another_process_uses_stays(store):
    age(store, F, 31)
    with held_by_another_process(store.folder / "scorers" / "locks" / f"{F}.used") as other:
        done = store.evict(max_bytes=0, older_than=30 * DAY)
        assert [scorer.fingerprint for scorer in done.in_use] == [F]
        assert [scorer.fingerprint for scorer in done.removed] == [G]
        other.kill()
    assert [scorer.fingerprint for scorer in store.evict(max_bytes=0).removed] == [F]


WORK = """
import sys, time, numpy as np
from st_mta.stores import Store
store = Store(sys.argv[1])
store.scores.lookup(sys.argv[2], np.arange(3, dtype=np.uint64), np.arange(3, dtype=np.uint64))
print("held", flush=True)
time.sleep(60)
"""


def test_a_process_uses_what_it_looked_up_as_long_as_it_lives(store):
    with subprocess.Popen(
        [sys.executable, "-c", WORK, str(store.folder), F], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        assert [scorer.fingerprint for scorer in store.evict(max_bytes=0).removed] == [G]
        other.kill()
    assert [scorer.fingerprint for scorer in store.evict(max_bytes=0).removed] == [F]


def refuse(path, *_, **__):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


def test_what_cannot_be_deleted_is_said(store, monkeypatch):
    used = sum(scorer.num_bytes for scorer in store.contents())
    monkeypatch.setattr(Path, "unlink", refuse)
    deleted = store.delete()
    assert (deleted.freed, deleted.refused) == (0, used) and "Read-only" in deleted.reason
    monkeypatch.undo()
    assert store.clear() == used


# Stores that cannot be used.


@pytest.mark.parametrize("below", ["", "deeper", "deeper/still"])
def test_a_file_in_the_place_of_the_folder(tmp_path, below):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(InputError, match="no folder"):
        Store(tmp_path / "file" / below)


def test_a_link_that_leads_nowhere(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("link", "loop"):
        with pytest.raises(InputError, match="no folder"):
            Store(tmp_path / name)


def cannot_write(monkeypatch, number):
    def refuse(*arguments, **_):
        raise OSError(number, os.strerror(number), str(arguments[0]))

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(Path, "touch", refuse)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOTDIR])
def test_nothing_is_computed_for_a_store_that_cannot_be_written(tmp_path, toy_collection, monkeypatch, number):
    store = Store(tmp_path / "store")
    scorer = BM25(store=store)
    computed: list[int] = []
    monkeypatch.setattr(scorer, "_compute", lambda *_: computed.append(1))
    cannot_write(monkeypatch, number)
    with pytest.raises(InputError, match=f"(?s){os.strerror(number)}.*--store"):
        scorer.score(toy_collection.queries, toy_collection.corpus, np.arange(3), np.arange(3))
    with pytest.raises(InputError, match=f"(?s){os.strerror(number)}.*--store"):
        store.embeddings.get(F, "query", TEXTS, np.arange(2), lambda batch: computed.append(1))
    assert computed == []


def test_a_full_disk_is_said_before_anything_is_computed(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    monkeypatch.setattr(os, "write", lambda *_: refuse_full())
    with pytest.raises(InputError, match="No space left"):
        store.embeddings.get(F, "query", TEXTS, np.arange(2), None)


def refuse_full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_store_is_read_where_nothing_can_be_written(store, monkeypatch):
    cannot_write(monkeypatch, errno.EROFS)
    again = Store(store.folder)
    again.describe(F, "x", "y")
    assert not np.isnan(again.scores.lookup(F, KEYS, KEYS)).any()
    assert again.embeddings.get(F, "query", TEXTS, np.arange(2), None).rows(slice(None)).tolist() == [[1] * 3] * 2
