"""A student whose weights would be spread over processes is refused, everything else is not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from st_mta.errors import InputError
from st_mta.training.sharded import refuse_sharded
from tests.training.toy_run import toy_arguments


def deepspeed(stage):
    config = SimpleNamespace(is_zero3=lambda: stage == 3)
    return {"hf_deepspeed_config": config, "deepspeed_plugin": SimpleNamespace(zero_stage=stage)}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"fsdp": True}, "FSDP"),
        ({"fsdp": "full_shard auto_wrap"}, "FSDP"),
        (deepspeed(3), "ZeRO stage 3"),
        ({"deepspeed_plugin": SimpleNamespace(zero_stage=3)}, "ZeRO stage 3"),
        ({"parallelism_config": SimpleNamespace(dp_shard_size=2)}, "dp_shard_size=2"),
        ({"parallelism_config": SimpleNamespace(tp_size=4)}, "tp_size=4"),
    ],
    ids=["fsdp", "fsdp by words", "ZeRO-3", "ZeRO-3 by accelerate", "HSDP", "tensor parallel"],
)
def test_a_sharded_student_is_refused(given, named):
    with pytest.raises(InputError, match=rf"got .*{named}.*ZeRO stage 1 or 2"):
        refuse_sharded(SimpleNamespace(**given))


def test_fsdp_of_the_launcher_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(InputError, match="FSDP"):
        refuse_sharded(toy_arguments(tmp_path))


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_a_whole_student_is_not(tmp_path, monkeypatch, stage):
    refuse_sharded(SimpleNamespace(**deepspeed(stage)))
    refuse_sharded(SimpleNamespace(fsdp=False, parallelism_config=SimpleNamespace(dp_shard_size=1, tp_size=None)))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    refuse_sharded(toy_arguments(tmp_path))
