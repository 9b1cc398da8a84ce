"""Searches are made once, answer all that are no deeper, and are never believed where they are damaged."""

from __future__ import annotations

import errno
import logging
import os
import threading

import numpy as np
import pyarrow.parquet as pq
import pytest

from st_mta.errors import InputError
from st_mta.scorers import BM25, BiEncoderScorer
from st_mta.scorers.compressed import ServedScorer
from st_mta.stores import Store, searches
from st_mta.stores.compaction import MOST_SMALL
from st_mta.types import Texts
from tests.tiny import WORDS, tiny_sentence_transformer

N, Q = 90, 40
F = "f" * 32
CORPUS = Texts([f"p{i}" for i in range(N)], [f"passage {i % 80}" for i in range(N)])
QUERIES = Texts([f"q{i}" for i in range(Q)], [f"query {i}" for i in range(Q)])
ALL = np.arange(Q)
SCORES = np.random.default_rng(0).integers(0, 12, (Q, N)).astype(np.float32)  # many ties
ORDER = np.lexsort((np.broadcast_to(np.arange(N), SCORES.shape), -SCORES))


class Searcher:
    """The truth, sorted by score and position; remembers what it was asked."""

    def __init__(self, positions=ALL, fail_at_call=None):
        self.positions, self.fail_at_call, self.calls = np.asarray(positions), fail_at_call, []

    def __call__(self, rows, depth):
        if len(self.calls) + 1 == self.fail_at_call:
            raise KeyboardInterrupt
        self.calls.append((self.positions[rows].tolist(), depth))
        return best(self.positions[rows], depth)

    @property
    def searched(self):
        return [position for call, _ in self.calls for position in call]


def best(positions, depth):
    passages = ORDER[positions, :depth].astype(np.int64)
    return np.take_along_axis(SCORES[positions], passages, axis=1), passages


def get(store, k, positions=ALL, search=None, corpus=CORPUS, fingerprint=F):
    search = search or Searcher(positions)
    found = store.searches.get(fingerprint, QUERIES, corpus, np.asarray(positions, dtype=np.int64), k, search)
    return found, search


def assert_best(found, positions, k):
    for result, expected in zip(found, best(np.asarray(positions), k)):
        np.testing.assert_array_equal(result, expected)
        assert result.dtype == expected.dtype


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def parts_of(store):
    return sorted((store.folder / "searches").rglob("part-*.parquet"))


def test_a_search_is_made_once_in_the_life_of_the_store(store):
    found, first = get(store, 20, ALL[:25])
    assert_best(found, ALL[:25], 20)
    again = Store(store.folder)
    found, second = get(again, 20)
    assert_best(found, ALL, 20)
    assert sorted(first.searched + second.searched) == ALL.tolist()
    assert (again.ledger.queries_searched, again.ledger.searches_reused) == (15, 25)


@pytest.mark.parametrize("k", [1, 19, 20, 24])
def test_a_deeper_search_answers_a_shallower_one(store, k):
    get(store, 20)
    found, search = get(Store(store.folder), k)
    assert search.calls == []
    assert_best(found, ALL, k)


def test_a_shallower_search_does_not_answer_a_deeper_one(store):
    get(store, 20)
    found, search = get(store, 33)
    assert search.searched == ALL.tolist()
    assert_best(found, ALL, 33)
    assert get(store, 20)[1].calls == get(store, 40)[1].calls == []


def test_the_queries_order_and_repeats_are_the_callers(store):
    get(store, 16, [7, 3])
    asked = [9, 3, 9, 7, 0, 0]
    found, search = get(store, 16, asked)
    assert search.searched == [9, 0]
    assert_best(found, asked, 16)


def test_more_passages_than_there_are(store):
    for _ in range(2):
        (scores, passages), _ = get(store, N + 5)
        assert_best((scores[:, :N], passages[:, :N]), ALL, N)
        assert (passages[:, N:] == -1).all() and (scores[:, N:] == -np.inf).all()
    assert get(store, N)[1].calls == get(store, N + 100)[1].calls == []


def test_nothing_asked_for(store):
    assert get(store, 0)[0][0].shape == (Q, 0)
    assert get(store, 5, [])[0][1].shape == (0, 5)
    empty = Texts([], [])
    (scores, passages), search = get(store, 3, corpus=empty)
    assert (passages == -1).all() and scores.shape == (Q, 3) and search.calls == []


def test_models_and_corpora_are_kept_apart(store):
    get(store, 16)
    turned = CORPUS.select(np.arange(N)[::-1])
    assert get(store, 16, corpus=turned)[1].searched == ALL.tolist()
    assert get(store, 16, fingerprint="e" * 32)[1].searched == ALL.tolist()
    renamed = Texts([f"other{i}" for i in range(N)], CORPUS.take(range(N)))
    assert get(store, 16, corpus=renamed)[1].searched == []


def test_a_kill_loses_one_part(store, monkeypatch):
    monkeypatch.setattr(searches, "QUERIES_PER_PART", 8)
    with pytest.raises(KeyboardInterrupt):
        get(store, 16, search=Searcher(fail_at_call=4))
    found, search = get(Store(store.folder), 16)
    assert search.searched == list(range(24, 40))
    assert_best(found, ALL, 16)


def flipped(part):
    content = bytearray(part.read_bytes())
    for bit in np.random.default_rng(1).integers(0, 8 * len(content), 5).tolist():
        content[bit // 8] ^= 1 << bit % 8
    part.write_bytes(bytes(content))


def of_another_search(part):
    """A whole file, and not the one that was written."""
    table = pq.read_table(part)
    pq.write_table(table.set_column(0, "query", table["query"].take(np.arange(len(table))[::-1])), part)


@pytest.mark.parametrize("damage", [flipped, of_another_search])
@pytest.mark.parametrize("reopened", [True, False])
def test_a_damaged_part_is_searched_for_again(store, damage, reopened, monkeypatch, caplog):
    monkeypatch.setattr(searches, "QUERIES_PER_PART", 20)
    get(store, 16)
    damage(parts_of(store)[0])
    with caplog.at_level(logging.WARNING):
        found, search = get(Store(store.folder) if reopened else store, 16)
    assert len(search.searched) == 20 and "searched for again" in caplog.text
    assert_best(found, ALL, 16)
    assert len(list(store.folder.rglob("*.damaged"))) == 1


def test_small_parts_are_merged(store):
    asked = [ALL[i % Q : i % Q + 1] for i in range(MOST_SMALL)]
    for i, one in enumerate(asked):
        get(store, 16 if i < Q else 32, one)
    assert len(parts_of(store)) == MOST_SMALL
    again = Store(store.folder)
    assert_best(get(again, 16)[0], ALL, 16)
    merged = parts_of(store)
    assert sorted(pq.read_metadata(part).num_rows for part in merged) == [MOST_SMALL - Q, Q]
    assert again.searches.count(F) == MOST_SMALL
    found, search = get(again, 32)
    assert len(search.searched) == 2 * Q - MOST_SMALL
    assert_best(found, ALL, 32)


def test_two_searchers_do_not_search_twice(store, monkeypatch):
    monkeypatch.setattr(searches, "QUERIES_PER_PART", 8)
    both = threading.Barrier(2)

    class Waiting(Searcher):
        def __call__(self, rows, depth):
            if not self.calls:
                both.wait(10)
            return super().__call__(rows, depth)

    own = [Waiting(), Waiting()]
    found: list = []

    def work(search):
        found.append(get(Store(store.folder), 16, search=search)[0])

    threads = [threading.Thread(target=work, args=(search,)) for search in own]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for one in found:
        assert_best(one, ALL, 16)
    assert len(found) == 2 and sorted(own[0].searched + own[1].searched) == ALL.tolist()


def test_a_store_that_can_only_be_read_gives_what_it_holds(store, monkeypatch):
    get(store, 16, ALL[:25])

    def refuse(*arguments, **_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(arguments[0]))

    monkeypatch.setattr(os, "open", refuse)
    found, search = get(Store(store.folder), 16)
    assert search.searched == ALL[25:].tolist() and len(parts_of(store)) == 1
    assert_best(found, ALL, 16)


def test_what_vanishes_again_and_again_is_said(store, monkeypatch):
    class Clearing(Searcher):
        def __call__(self, rows, depth):
            for part in parts_of(store):
                part.unlink()
            return super().__call__(rows, depth)

    monkeypatch.setattr(searches, "QUERIES_PER_PART", 30)
    with pytest.raises(InputError, match="vanished"):
        get(store, 16, search=Clearing())


def test_the_store_lists_clears_and_evicts_them(store):
    get(store, 16)
    get(store, 16, fingerprint="e" * 32)
    store.describe(F, "minilm", "bi-encoder")
    listed = {scorer.fingerprint: scorer for scorer in store.contents()}
    assert (listed[F].searches, listed[F].name, listed[F].pairs) == (Q, "minilm", 0)
    assert sum(scorer.num_bytes for scorer in listed.values()) == sum(
        path.stat().st_size for path in store.folder.rglob("*") if path.is_file()
    )
    left_by_a_kill = store.folder / f"searches/locks/{F}-{'0' * 32}-{'1' * 32}.claim"
    left_by_a_kill.touch()
    assert store.clear(F) == listed[F].num_bytes
    assert not list(store.folder.rglob(f"{F}*")) and list((store.folder / "searches").rglob(f"{'e' * 32}*"))
    assert get(Store(store.folder), 16)[1].searched == ALL.tolist()
    assert len(store.evict(max_bytes=0).removed) == 2
    assert not any(path.is_file() for path in (store.folder / "searches").rglob("*"))


# Scorers that search through it.


def toy_texts():
    random = np.random.default_rng(3)
    corpus = [" ".join(random.choice(WORDS[26:], 6)) for _ in range(70)]
    corpus[50:60] = corpus[:10]  # ties
    return Texts([f"q{i}" for i in range(12)], [" ".join(random.choice(WORDS[26:], 3)) for _ in range(12)]), Texts(
        [f"p{i}" for i in range(70)], corpus
    )


MAKE = {
    "bi-encoder": lambda store: BiEncoderScorer(tiny_sentence_transformer(3), name="A", store=store, precision="fp32"),
    "bm25": lambda store: BM25(store=store),
}


@pytest.mark.parametrize("kind", MAKE)
def test_a_stored_search_is_what_would_be_found_now(store, tmp_path, kind):
    queries, corpus = toy_texts()
    positions = np.arange(len(queries))
    MAKE[kind](store).retrieve(queries, corpus, positions, 25)
    stored = MAKE[kind](Store(store.folder))
    for k in (3, 25, 32):
        found = stored.retrieve(queries, corpus, positions, k)
        anew = MAKE[kind](Store(tmp_path / f"other-{k}")).retrieve(queries, corpus, positions, k)
        np.testing.assert_array_equal(found.passages, anew.passages)
        np.testing.assert_array_equal(found.scores, anew.scores)
        rows, columns = np.nonzero(found.passages >= 0)
        pairs = stored.score(queries, corpus, positions[rows], found.passages[rows, columns])
        np.testing.assert_array_equal(pairs, found.scores[rows, columns])
    assert stored.store.ledger.queries_searched == 0
    assert {scorer.searches for scorer in store.contents()} == {len(queries)}


@pytest.mark.parametrize("kind", MAKE)
def test_speed_is_taken_of_searches_not_of_the_store(store, kind):
    queries, corpus = toy_texts()
    scorer = MAKE[kind](store)
    answer = scorer.answer(queries, corpus, 10)
    answer(np.arange(5))
    assert store.ledger.queries_searched == store.ledger.searches_reused == 0


def test_queries_are_encoded_together_whichever_are_searched(store, monkeypatch):
    """So that a run that was killed in a search gets the same embeddings."""
    queries, corpus = toy_texts()
    monkeypatch.setattr(searches, "QUERIES_PER_PART", 5)
    scorer, encoded = MAKE["bi-encoder"](store), []
    encode = scorer.encode

    def remembering(texts, role):
        encoded.append((role, len(texts)))
        return encode(texts, role)

    monkeypatch.setattr(scorer, "encode", remembering)
    scorer.retrieve(queries, corpus, np.arange(len(queries)), 10)
    assert encoded == [("query", 12), ("document", 60)]


def test_a_trial_of_an_index_is_not_kept(store):
    queries, corpus = toy_texts()
    scorer = MAKE["bi-encoder"](store)
    ServedScorer(scorer, scorer, precision="int8").retrieve(queries, corpus, np.arange(5), 10)
    assert parts_of(store) == []
