"""Calls that would wait for a GPU are told from those that would not; steps of the common losses have none."""

from __future__ import annotations

import pytest
import torch

from benchmarks.gpu.stops import KINDS, NOT_ON_A_GPU, of_ours, watched
from benchmarks.gpu.waits import OURS, Waits, waits
from st_mta.losses.similarity import mean_over
from tests.gpu.conftest import bench_of

CPU = torch.device("cpu")
VALUES = torch.arange(6.0)


@pytest.mark.parametrize(
    "work",
    [
        lambda: VALUES.sum().item(),
        lambda: bool(VALUES.any()),
        lambda: float(VALUES[0]),
        lambda: VALUES.tolist(),
        lambda: VALUES.cpu(),
        lambda: VALUES.numpy(),
        lambda: VALUES[VALUES > 2],
        lambda: VALUES.clone().index_put_((VALUES > 2,), torch.ones(3)),
        lambda: VALUES.nonzero(),
        lambda: VALUES.unique(),
        lambda: VALUES.masked_select(VALUES > 2),
        lambda: torch.equal(VALUES, VALUES),
    ],
    ids="item bool float tolist cpu numpy index index_put nonzero unique masked_select equal".split(),
)
def test_a_call_that_reads_values_waits(work):
    with waits(CPU) as found:
        work()
    assert found.total >= 1 and found.ours == []


@pytest.mark.parametrize(
    "work",
    [
        lambda: VALUES.sum() + VALUES[2],
        lambda: torch.where(VALUES > 2, VALUES, 0.0),
        lambda: VALUES.clone().masked_fill_(VALUES > 2, 0.0),
        lambda: VALUES.clone().__setitem__(VALUES > 2, 0.0),
        lambda: VALUES[torch.tensor([1, 2])],
        lambda: VALUES.topk(2),
        lambda: VALUES.shape[0] + len(VALUES),
        lambda: mean_over(VALUES, VALUES > 2),
    ],
    ids="sum where masked_fill filling places topk shape mean_over".split(),
)
def test_a_call_that_only_computes_does_not_wait(work):
    with waits(CPU) as found:
        work()
    assert found.total == 0


def test_the_line_of_ours_is_named_and_how_often():
    scores = torch.tensor([[1.0, 2.0]])
    from st_mta.losses.batch import refuse_infinite

    with waits(CPU) as found:
        for _ in range(2):
            refuse_infinite(scores)
    (place,) = found.ours
    assert place.startswith("st_mta/losses/batch.py:") and place.endswith("refuse_infinite: _local_scalar_dense")
    assert found.places[place] == 2 and found.via[place] == place.rpartition(" ")[0]
    assert of_ours(found, CPU) == [] != of_ours(found, torch.device("cuda"))


def test_what_is_passed_over_on_a_cpu_asks_for_the_device():
    from pathlib import Path

    import st_mta

    for file, _ in NOT_ON_A_GPU:
        text = (Path(st_mta.__file__).parent / file.rstrip(":")).read_text()
        assert 'device.type == "cpu"' in text, "then it would wait on a GPU too"


@pytest.mark.parametrize("kind", ["listwise, 3 assistants", "warm-up"])
def test_a_training_step_has_no_wait_of_ours(kind, tmp_path):
    found = watched(KINDS[kind], bench_of("stops", tmp_path))
    assert of_ours(found, CPU) == []
    assert found.total, "the looking itself works: those that only look on a CPU are seen"


def test_waits_of_backward_passes_are_seen_too():
    class Reading(torch.autograd.Function):
        @staticmethod
        def forward(ctx, values):
            return values * 2

        @staticmethod
        def backward(ctx, gradient):
            return gradient * gradient.sum().item()

    values = VALUES.clone().requires_grad_()
    loss = Reading.apply(values).sum()
    with waits(CPU) as found:
        loss.backward()
    assert found.total == 1


def test_nothing_is_ours_where_no_line_of_ours_is_on_the_way():
    found = Waits()
    found.add("item")
    assert found.ours == [] and OURS not in "".join(found.places)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_a_training_step_on_a_gpu_has_no_wait_of_ours(kind, tmp_path):
    bench = bench_of("stops", tmp_path)
    bench.device = torch.device("cuda", 0)
    assert watched(KINDS[kind], bench).ours == []
