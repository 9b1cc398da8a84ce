"""A batch of all processes is dealt out to them: every row once, as even as can be, in the order of one process."""

from __future__ import annotations

import pytest
from accelerate.data_loader import BatchSamplerShard
from sentence_transformers.base.sampler import DefaultBatchSampler
from transformers import TrainerControl, TrainerState, TrainingArguments

from st_mta.training.dealt import DealtBatches, EpochOfBatches, deal


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("rows", [5, 8, 15, 97])
def test_every_row_goes_to_one_process(rows, count):
    parts = deal(list(range(rows)), count)
    assert sorted(row for part in parts for row in part) == list(range(rows))
    lengths = [len(part) for part in parts]
    assert max(lengths) - min(lengths) <= 1
    assert deal([4, 9, 2, 7, 1], 2) == [[4, 2, 1], [9, 7]]


def test_fewer_rows_than_processes_go_to_all():
    assert deal([4, 9], 3) == [[4, 9]] * 3
    assert deal([], 2) == [[], []]


class Batches(DefaultBatchSampler):
    """Batches of other sizes in the middle, too; another order in each epoch."""

    def __iter__(self):
        yield from [[1, 2, 3, 4], [5], [6, 7, 8]][:: -1 if self.epoch % 2 else 1]

    def __len__(self):
        return 3


def shards(count, epoch):
    dealt = DealtBatches(Batches(range(9), 4, False), count)
    dealt.set_epoch(epoch)
    return [
        BatchSamplerShard(dealt, count, rank, even_batches=even) for rank in range(count) for even in (False, True)
    ]


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("count", [2, 3])
def test_accelerate_hands_out_as_many_batches_to_each(count, epoch):
    found = [list(shard) for shard in shards(count, epoch)]
    steps = [[1, 2, 3, 4], [5], [6, 7, 8]][:: -1 if epoch else 1]
    for shard, batches in zip(shards(count, epoch), found):
        assert len(shard) == len(batches) == 3
    for step, rows in enumerate(steps):
        together = sorted({row for batches in found for row in batches[step]})
        assert together == rows


def test_a_training_that_resumes_within_an_epoch_has_its_order(tmp_path):
    callback = EpochOfBatches()
    arguments = TrainingArguments(str(tmp_path), report_to="none", use_cpu=True)
    callback.on_epoch_begin(arguments, TrainerState(epoch=1.5), TrainerControl())
    callback.batches = DealtBatches(Batches(range(9), 4, False), 2)
    for epoch, first in ((1.5, [6, 8]), (2.0, [1, 3])):
        callback.on_epoch_begin(arguments, TrainerState(epoch=epoch), TrainerControl())
        assert next(iter(callback.batches)) == first
