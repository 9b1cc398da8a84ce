"""Batches of queries that share passages: every query once, in an order that epoch and seed alone decide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset

from st_mta.errors import InputError
from st_mta.losses import ListwiseKLLoss
from st_mta.scored import ScoredCandidates
from st_mta.training import checkpoints, sharing
from st_mta.training.collator import FlatDocumentsCollator, listwise_dataset
from st_mta.training.sharing import KEPT_APART, SharingBatchSampler, grow_batches, order_of_batches
from st_mta.training.stages import train as train_stage
from st_mta.types import Candidates, offsets_of
from tests.tiny import tiny_sentence_transformer
from tests.training.test_trainer import assert_same
from tests.training.toy_run import toy_arguments, toy_trainer

CLUSTERS, MEMBERS = 6, 8


@pytest.fixture(scope="module")
def lists():
    """48 queries of six topics in mixed order: each lists 4 to 6 of its topic's ten passages, one of anyone's."""
    random = np.random.default_rng(0)
    topics = random.permutation(np.repeat(np.arange(CLUSTERS), MEMBERS))
    own = [10 * topic + random.choice(10, random.integers(4, 7), replace=False) for topic in topics]
    return [np.append(passages, 100 + random.integers(40)).tolist() for passages in own]


def dataset_of(lists, query_positions=None):
    positions = np.arange(len(lists)) if query_positions is None else np.asarray(query_positions)
    return Dataset(pa.table({"query_position": positions, "passages": pa.array(lists, pa.list_(pa.int64()))}))


def sampler_of(lists, batch_size=6, drop_last=False, seed=0, epoch=0, query_positions=None):
    made = SharingBatchSampler(
        dataset_of(lists, query_positions), batch_size=batch_size, drop_last=drop_last, seed=seed
    )
    made.set_epoch(epoch)
    return made


def distinct_per_listed(batches, lists):
    distinct = sum(len({passage for row in batch for passage in lists[row]}) for batch in batches)
    return distinct / sum(len(lists[row]) for batch in batches for row in batch)


@pytest.mark.parametrize("rows", [48, 45, 5, 8])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("pool", [16, 1024, 1])
def test_every_row_comes_once_and_the_last_batch_may_be_smaller(lists, monkeypatch, rows, drop_last, pool):
    monkeypatch.setattr(sharing, "QUERIES_PER_POOL", pool)
    sampler = sampler_of(lists[:rows], batch_size=8, drop_last=drop_last)
    batches = list(sampler)
    sizes = [8] * (rows // 8) + ([rows % 8] if rows % 8 and not drop_last else [])
    assert [len(batch) for batch in batches] == sizes and len(sampler) == len(sizes)
    seen = sorted(row for batch in batches for row in batch)
    assert len(set(seen)) == len(seen) == sum(sizes) and set(seen) <= set(range(rows))


def test_seed_and_epoch_alone_decide_the_order(lists):
    first = list(sampler_of(lists, seed=3, epoch=2))
    sampler = sampler_of(lists, seed=3)
    orders = []
    for epoch in (0, 2, 1):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert orders[1] == first == list(sampler_of(lists, seed=3, epoch=2))
    together = [{frozenset(batch) for batch in order} for order in (*orders, sampler_of(lists, seed=4, epoch=2))]
    assert all(len(one & other) <= 2 for at, one in enumerate(together) for other in together[:at])


def test_rows_left_over_are_drawn_at_random(lists):
    """Not always those that share least with others."""
    left = {row for seed in range(60) for row in list(sampler_of(lists[:45], batch_size=8, seed=seed))[-1]}
    assert len(left) > 40


def test_queries_that_share_passages_come_together(lists):
    shuffled = np.random.default_rng(0).permutation(48).reshape(8, 6).tolist()
    found = [distinct_per_listed(sampler_of(lists, seed=seed), lists) for seed in range(5)]
    assert distinct_per_listed(shuffled, lists) > 0.8 and np.mean(found) < 0.55


def test_the_order_by_hashes_brings_them_into_one_pool(lists, monkeypatch):
    """With pools of one batch nothing else does."""
    monkeypatch.setattr(sharing, "QUERIES_PER_POOL", 1)
    found = [distinct_per_listed(sampler_of(lists, seed=seed), lists) for seed in range(5)]
    assert np.mean(found) < 0.7


def test_those_that_share_least_do_not_come_last(lists):
    """Batches are grown one after the other, and the last ones take what is left."""
    shares = [[distinct_per_listed([batch], lists) for batch in sampler_of(lists, seed=seed)] for seed in range(60)]
    by_place = np.mean(shares, axis=0)
    assert len(by_place) == 8 and by_place.std() < 0.04 < np.std(shares)


def test_shared_passages_are_counted_as_sets_intersect(lists):
    positions = np.arange(48) % 40
    pool = np.random.default_rng(1).permutation(48)[:20]
    shared = sampler_of([*lists[:47], []], query_positions=positions)._shared(pool)
    for place, row in enumerate(pool):
        for other_place, other in enumerate(pool):
            expected = len(set(lists[row]) & set(lists[other])) if 47 not in (row, other) else 0
            expected = KEPT_APART if positions[row] == positions[other] else expected
            assert shared[place, other_place] == expected


def test_min_hashes_are_the_smallest_numbers():
    rows = [[7, 90, 4], [], [90], [4, 3], []]
    numbers = dict(zip([3, 4, 7, 90], np.random.default_rng(5).permutation(4).tolist()))
    expected = [min((numbers[passage] for passage in row), default=4) for row in rows]
    assert sampler_of(rows)._min_hash(np.random.default_rng(5)).tolist() == expected


def grown_by_hand(shared, size):
    left, batches = list(range(len(shared))), []
    while left:
        batch = [left.pop(0)]
        while len(batch) < size:
            best = max(left, key=lambda row: (sum(float(shared[row, other]) for other in batch), -row))
            left.remove(best)
            batch.append(best)
        batches.append(batch)
    return batches


def test_batches_grow_by_what_is_shared():
    worked = np.array([[0, 0, 2, 1], [0, 0, 0, 3], [2, 0, 0, 0], [1, 3, 0, 0]], dtype=np.float32)
    assert grow_batches(worked, 2).tolist() == [[0, 2], [1, 3]]
    random = np.random.default_rng(2)
    shared = random.integers(0, 6, (24, 24)).astype(np.float32)
    shared = shared + shared.T
    for size in (1, 4, 8, 24):
        assert grow_batches(shared, size).tolist() == grown_by_hand(shared, size)


def test_a_query_drawn_twice_is_in_two_batches(lists):
    """Though its two lists are equal; only in the last batch of the pool nothing else may be left."""
    for seed in range(5):
        batches = list(sampler_of([*lists[:24], *lists[:24]], seed=seed, query_positions=np.arange(48) % 24))
        assert sum(len({row % 24 for row in batch}) == 6 for batch in batches) >= 7


def test_an_order_of_the_hosts_beside_it_is_refused(toy_collection, tmp_path):
    options = {"batches": "sharing", "batch_sampler": "no_duplicates"}
    with pytest.raises(InputError, match="batch_sampler"):
        toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options)
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="batches"):
        toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, batches="sorted")


def test_the_option_reaches_the_training_of_an_iteration(toy_collection, tmp_path, monkeypatch):
    options = {"num_iterations": 1, "regression_epochs": 0.0, "batches": "sharing"}
    seen = []

    def stopped(student, arguments, dataset, *_, **__):
        seen.append(SharingBatchSampler(dataset, batch_size=8, drop_last=False))
        assert arguments.batch_sampler is SharingBatchSampler
        raise KeyboardInterrupt

    monkeypatch.setattr(train_stage, "train_with_checkpoints", stopped)
    with pytest.raises(KeyboardInterrupt):
        toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options).distillation.learn()
    assert len(list(seen[0])) == 3


def test_shuffled_batches_are_the_hosts(tmp_path):
    assert order_of_batches(toy_arguments(tmp_path)) == {}


def trained(folder, lists, collection):
    """Two epochs of eight steps, with dropout, so that a step too many or too few would be seen."""
    offsets = offsets_of([len(passages) for passages in lists])
    flat = np.concatenate(lists) % len(collection.corpus)
    positive = np.isin(np.arange(len(flat)), offsets[:-1])
    scores = np.random.default_rng(0).standard_normal((1, len(flat))).astype(np.float32)
    candidates = Candidates(np.arange(48) % 40, offsets, flat, positive, np.zeros(len(flat), dtype=np.int64), ("all",))
    student = tiny_sentence_transformer(1)
    changes = {"per_device_train_batch_size": 6, "num_train_epochs": 2.0, "dropout": 0.2, "batches": "sharing"}
    changes |= {"save_steps": 6, "save_total_limit": None}
    arguments = toy_arguments(folder / "checkpoints", **changes)
    done = checkpoints.train_with_checkpoints(
        student,
        replace(arguments, **order_of_batches(arguments)),
        listwise_dataset(ScoredCandidates(candidates, scores, ("T",)), collection.queries),
        FlatDocumentsCollator(student.preprocess, corpus=collection.corpus),
        ListwiseKLLoss(student, contrastive_weight=0.1),
    )
    return done, student.state_dict()


def test_a_training_killed_in_its_second_epoch_goes_on_bit_for_bit(toy_collection, lists, tmp_path, monkeypatch):
    done, whole = trained(tmp_path / "whole", lists, toy_collection)
    steps, work = [], checkpoints.StageTrainer.training_step

    def dying(self, *arguments, **keywords):
        steps.append(1)
        if len(steps) == 13:
            raise KeyboardInterrupt
        return work(self, *arguments, **keywords)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoints.StageTrainer, "training_step", dying)
        trained(tmp_path / "out", lists, toy_collection)
    assert (tmp_path / "out/checkpoints/checkpoint-12").exists()
    again, weights = trained(tmp_path / "out", lists, toy_collection)
    assert (again.steps, again.sequences) == (done.steps, done.sequences) and done.steps == 16
    assert_same(whole, weights)
