"""Batches in several threads, and smaller ones where memory ends."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest
import torch

from st_mta.errors import InputError
from st_mta.scorers import BiEncoderScorer, CrossEncoderScorer, LateInteractionScorer, SparseScorer, ahead
from st_mta.scorers.ahead import Batches
from tests.tiny import WORDS, tiny_cross_encoder, tiny_sentence_transformer, tiny_sparse_encoder

TEXTS = [" ".join(WORDS[26 + i : 27 + i + i % 7]) for i in range(40)]


def batches(count: int = 6, size: int = 8) -> list[np.ndarray]:
    return [np.arange(start * size, (start + 1) * size) for start in range(count)]


@pytest.mark.parametrize("at_once", [1, 3])
def test_batches_come_back_in_order(monkeypatch, at_once):
    monkeypatch.setitem(ahead.AT_ONCE, "cpu", at_once)
    seen = list(Batches("cpu").each(batches(), lambda batch: batch * 10))
    np.testing.assert_array_equal(np.concatenate([batch for batch, _ in seen]), np.arange(48))
    assert len(seen) == 6 and all((found == 10 * batch).all() for batch, found in seen)


def test_two_batches_are_in_work_at_the_same_time(monkeypatch):
    monkeypatch.setitem(ahead.AT_ONCE, "cpu", 2)
    both = threading.Barrier(2)
    for _ in Batches("cpu").each(batches(4), lambda batch: both.wait(timeout=10)):
        pass


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_batch_that_does_not_fit_is_halved_and_so_are_the_next_ones(monkeypatch, at_once):
    monkeypatch.setitem(ahead.AT_ONCE, "cpu", at_once)
    tried = []

    def compute(batch):
        tried.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("no room")
        return batch + 1

    work = Batches("cpu")
    seen = list(work.each(batches(), compute))
    np.testing.assert_array_equal(np.concatenate([found for _, found in seen]), np.arange(1, 49))
    assert work.split >= 4 and tried.count(8) <= at_once
    tried.clear()
    list(work.each(batches(), compute))
    assert max(tried) <= 2


def test_a_text_that_does_not_fit_alone_is_refused():
    def compute(batch):
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(InputError, match="shorten texts"):
        list(Batches("cpu").each(batches(), compute))


SCORERS = {
    "bi-encoder": lambda: BiEncoderScorer(tiny_sentence_transformer(1), name="a", tokens_per_batch=32),
    "cross-encoder": lambda: CrossEncoderScorer(tiny_cross_encoder(2), name="b", tokens_per_batch=64),
    "late interaction": lambda: LateInteractionScorer(tiny_sentence_transformer(3), name="c", tokens_per_batch=32),
    "sparse": lambda: SparseScorer(tiny_sparse_encoder(4), name="d", tokens_per_batch=32),
}


def computed(scorer):
    found = scorer.encode(TEXTS, "document") if scorer.kind in ("bi-encoder", "sparse") else None
    return scorer.predict(TEXTS, TEXTS[::-1]) if found is None else getattr(found, "toarray", lambda: found)()


@pytest.mark.parametrize("kind", SCORERS)
def test_two_threads_compute_what_one_does(monkeypatch, kind):
    alone = computed(SCORERS[kind]())
    monkeypatch.setitem(ahead.AT_ONCE, "cpu", 2)
    for _ in range(3):
        np.testing.assert_array_equal(computed(SCORERS[kind]()), alone)


@pytest.mark.parametrize("kind", SCORERS)
def test_a_scorer_with_a_lock_can_be_sent_and_copied(monkeypatch, kind):
    monkeypatch.setitem(ahead.AT_ONCE, "cpu", 2)
    scorer = SCORERS[kind]()
    alone = computed(scorer)
    sent = copy.copy(scorer)
    sent.store = sent._temporary = None
    again = pickle.loads(pickle.dumps(sent))
    np.testing.assert_array_equal(computed(again), alone)
    assert again.fingerprint == scorer.fingerprint


def test_parts_are_larger_on_a_gpu_unless_their_size_is_named():
    scorer = SCORERS["cross-encoder"]()
    before = scorer.part_size
    scorer._take_larger_parts({"part_size": 5})
    assert scorer.part_size == before
    scorer._take_larger_parts({"part_size": None})
    assert scorer.part_size == 8 * before
