"""Shares of a job array: together they store, to the last bit, what one process stores."""

from __future__ import annotations

from threading import Thread

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.scorers import BM25, BiEncoderScorer, CrossEncoderScorer, LateInteractionScorer, StoredScores
from st_mta.scorers.fused import FusedScorer
from st_mta.scorers.shards import SHARDS, Shard, store_embeddings, store_scores
from st_mta.scorers.view import with_view
from st_mta.stores import Store, locks
from st_mta.types import Texts
from tests.tiny import WORDS, tiny_cross_encoder, tiny_sentence_transformer


@pytest.fixture(scope="module")
def models():
    return {"cross": tiny_cross_encoder(3), "bi": tiny_sentence_transformer(4)}


@pytest.fixture
def scorer_in(models):
    """A scorer with small parts, of a kind and over a store."""

    def make(kind, folder):
        store = Store(folder)
        if kind == "cross-encoder":
            scorer = CrossEncoderScorer(models["cross"], store=store, part_size=7)
        elif kind == "late-interaction":
            scorer = LateInteractionScorer(models["bi"], store=store, part_size=7)
        else:
            scorer = BiEncoderScorer(models["bi"], store=store, block_size=4)
        return scorer

    return make


def pairs_of(collection):
    """200 pairs in no order, some of them twice."""
    source = np.random.default_rng(0)
    return source.integers(0, len(collection.queries), 200), source.integers(0, len(collection.corpus), 200)


def computing(scorer, monkeypatch):
    """Every part that the model is given from now on."""
    seen = []
    predict = type(scorer).predict
    monkeypatch.setattr(
        type(scorer), "predict", lambda self, *pairs: seen.append(tuple(zip(*pairs))) or predict(self, *pairs)
    )
    return seen


@pytest.mark.parametrize("kind", ["cross-encoder", "late-interaction"])
@pytest.mark.parametrize("of", [1, 3])
def test_shares_are_the_parts_of_one_process(toy_collection, tmp_path, scorer_in, monkeypatch, kind, of):
    tables, pairs = (toy_collection.queries, toy_collection.corpus), pairs_of(toy_collection)
    whole = scorer_in(kind, tmp_path / "whole")
    seen = computing(whole, monkeypatch)
    expected = whole.score(*tables, *pairs)
    parts = sorted(seen)
    seen.clear()
    stored = [
        store_scores(scorer_in(kind, tmp_path / "shared"), *tables, *pairs, Shard(number, of))
        for number in range(of, 0, -1)
    ]
    assert sorted(seen) == parts
    distinct = len(set(zip(*(p.tolist() for p in pairs))))
    assert sum(one.pairs for one in stored) == sum(one.computed for one in stored) == distinct
    assert max(one.pairs for one in stored) - min(one.pairs for one in stored) <= 2 * 7
    seen.clear()
    assert np.array_equal(scorer_in(kind, tmp_path / "shared").score(*tables, *pairs), expected)
    assert not seen, "the command without --shard collects"


def test_shares_of_embeddings_are_the_blocks_of_one_process(toy_collection, tmp_path, scorer_in, monkeypatch):
    source = np.random.default_rng(1)
    texts = Texts(map(str, range(300)), [" ".join(source.choice(WORDS, source.integers(1, 12))) for _ in range(300)])
    everything = np.arange(len(texts))
    whole, seen = scorer_in("bi-encoder", tmp_path / "whole"), []
    encode = BiEncoderScorer.encode
    monkeypatch.setattr(
        BiEncoderScorer, "encode", lambda self, texts, role: seen.append(texts) or encode(self, texts, role)
    )
    expected = whole.embed(texts, "document", everything).rows(slice(None))
    blocks = sorted(seen)
    seen.clear()
    for number in (2, 4, 1, 3):
        store_embeddings(scorer_in("bi-encoder", tmp_path / "shared"), "document", texts, everything, Shard(number, 4))
    assert sorted(seen) == blocks
    seen.clear()
    shared = scorer_in("bi-encoder", tmp_path / "shared")
    assert np.array_equal(shared.embed(texts, "document", everything).rows(slice(None)), expected)
    assert not seen


def test_a_share_does_not_depend_on_what_is_stored(toy_collection, tmp_path, scorer_in, monkeypatch):
    tables, (queries, passages) = (toy_collection.queries, toy_collection.corpus), pairs_of(toy_collection)
    scorer = scorer_in("cross-encoder", tmp_path)
    shard = Shard(2, 3)
    seen = computing(scorer, monkeypatch)
    store_scores(scorer_in("cross-encoder", tmp_path / "empty"), *tables, queries, passages, shard)
    mine = {pair for part in seen for pair in part}
    scorer.score(*tables, queries[:50], passages[:50])
    seen.clear()
    stored = store_scores(scorer, *tables, queries, passages, shard)
    again = {pair for part in seen for pair in part}
    assert again < mine and (stored.pairs, stored.computed) == (len(mine), len(again))


def test_every_share_stands_alone_and_no_unit_is_lost():
    for units, of in ((1, 4), (97, 4), (12, 5), (64, 16)):
        positions = np.arange(units * 3 - 1)
        taken = [Shard(number, of).take(positions, 3) for number in range(1, of + 1)]
        assert np.array_equal(np.sort(np.concatenate(taken)), positions)
        assert all(np.array_equal(share, np.sort(share)) for share in taken)


def test_no_share_has_all_the_long_texts():
    units = [Shard(number, 16).take(np.arange(64), 1).tolist() for number in (1, 2, 16)]
    assert units == [[0, 31, 32, 63], [1, 30, 33, 62], [15, 16, 47, 48]]


@pytest.mark.parametrize("has_locks", [True, False])
def test_several_shares_at_once(toy_collection, tmp_path, scorer_in, monkeypatch, has_locks):
    monkeypatch.setattr(locks, "HAS_LOCKS", has_locks)
    tables, pairs = (toy_collection.queries, toy_collection.corpus), pairs_of(toy_collection)
    expected = scorer_in("cross-encoder", tmp_path / "whole").score(*tables, *pairs)
    scorers = [scorer_in("cross-encoder", tmp_path / "shared") for _ in range(3)]
    done = []
    threads = [
        Thread(target=lambda n, s: done.append(store_scores(s, *tables, *pairs, Shard(n, 3))), args=(number, scorer))
        for number, scorer in enumerate(scorers, start=1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sum(one.computed for one in done) == len(set(zip(*(p.tolist() for p in pairs))))
    collecting = scorer_in("cross-encoder", tmp_path / "shared")
    assert np.array_equal(collecting.score(*tables, *pairs), expected)
    assert collecting.store.ledger.pairs_scored == 0


def test_of_a_fusion_every_part_that_computes(toy_collection, tmp_path, scorer_in):
    run = tmp_path / "scores.trec"
    run.write_text("q0 Q0 p0 1 1.5 x\n")
    parts = [*(scorer_in(kind, tmp_path / "store") for kind in ("cross-encoder", "bi-encoder")), StoredScores(run)]
    tables, pairs = (toy_collection.queries, toy_collection.corpus), pairs_of(toy_collection)
    viewing = with_view(FusedScorer(parts, [1, 1, 1]), corpus=toy_collection.corpus)
    stored = sum(store_scores(viewing, *tables, *pairs, Shard(n, 2)).embeddings for n in (1, 2))
    assert stored == len(np.unique(pairs[0])) + len(np.unique(pairs[1]))
    assert parts[0].store.ledger.pairs_scored == len(set(zip(*(p.tolist() for p in pairs))))


@pytest.mark.parametrize("make", [StoredScores, lambda _: BM25(store=None)])
def test_a_scorer_that_keeps_nothing_is_refused(toy_collection, tmp_path, make):
    run = tmp_path / "scores.trec"
    run.write_text("q0 Q0 p0 1 1.5 x\n")
    with pytest.raises(InputError, match="leave --shard out"):
        store_scores(make(run), toy_collection.queries, toy_collection.corpus, [0], [0], Shard(1, 2))


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "a/b", "1/0", "-1/4", "1/4/2", "1 / 4", "", "1/4\n"])
def test_what_names_no_share(text):
    assert text not in SHARDS
    with pytest.raises(InputError, match="3/16"):
        Shard.parse(text)


def test_what_names_one():
    assert "16/16" in SHARDS and Shard.parse("3/16") == Shard(3, 16)
