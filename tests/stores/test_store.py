from __future__ import annotations

import numpy as np
import platformdirs
import pytest

from st_mta.stores import Ledger, Store
from st_mta.types import Texts


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def fill(store: Store, fingerprint: str, name: str, pairs: int) -> None:
    keys = np.arange(pairs, dtype=np.uint64)
    store.describe(fingerprint, name, "cross-encoder")
    store.scores.append(fingerprint, keys, keys, np.ones(pairs))
    texts = Texts(["a", "b"], ["cat", "dog"])
    for role in ("query", "document"):
        store.embeddings.get(fingerprint, role, texts, np.arange(2), lambda batch: np.ones((len(batch), 3)))


def test_contents_tell_what_each_scorer_stored(store):
    fill(store, "f" * 32, "a/teacher", 5)
    fill(store, "e" * 32, "minilm", 5000)
    large, small = store.contents()
    assert (large.name, large.kind, large.pairs, large.embeddings) == ("minilm", "cross-encoder", 5000, 4)
    assert (small.fingerprint, small.name, small.pairs) == ("f" * 32, "a/teacher", 5)
    assert large.num_bytes > small.num_bytes > 0
    used = sum(path.stat().st_size for path in store.folder.rglob("*") if path.is_file())
    assert large.num_bytes + small.num_bytes == used


def test_clear_removes_one_scorer_or_all(store):
    fill(store, "f", "teacher", 5)
    fill(store, "e", "minilm", 5)
    (freed,) = [scorer.num_bytes for scorer in store.contents() if scorer.fingerprint == "f"]
    assert store.clear("f") == freed
    assert [scorer.fingerprint for scorer in store.contents()] == ["e"]
    one = np.ones(1, dtype=np.uint64)
    assert np.isnan(store.scores.lookup("f", one, one)).all()
    assert store.clear() > 0
    assert store.contents() == []
    assert store.clear() == 0


def test_a_cleared_store_can_be_filled_again(store):
    fill(store, "f", "teacher", 5)
    store.clear()
    fill(store, "f", "teacher", 5)
    assert store.contents()[0].pairs == 5


def test_the_first_name_of_a_scorer_stays(store):
    fill(store, "f", "teacher", 5)
    store.describe("f", "another", "bm25")
    assert store.contents()[0].name == "teacher"


def test_an_empty_folder_has_no_contents(store):
    assert store.contents() == []


def test_the_folder_comes_from_the_environment_or_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ST_MTA_CACHE", str(tmp_path))
    assert Store().folder == tmp_path
    monkeypatch.delenv("ST_MTA_CACHE")
    assert str(Store().folder) == platformdirs.user_cache_dir("st_mta")


def test_the_ledger_is_shared_and_differences_count_since_a_copy(store):
    fill(store, "f", "teacher", 5)
    before = store.ledger.copy()
    fill(store, "e", "teacher", 5)
    difference = store.ledger - before
    assert difference == Ledger(passages_encoded=2, queries_encoded=2)
    assert before.as_dict()["passages_encoded"] == 2


def test_a_store_is_its_own_and_a_folder_becomes_one(store, tmp_path):
    assert Store.at(store) is store
    assert Store.at(tmp_path / "other").folder == tmp_path / "other"
