"""Ways of training in which no process holds the whole student: refused, since every stage reads its weights."""

from __future__ import annotations

import os
from typing import Any

from st_mta.errors import InputError

WHOLE_UP_TO = 2
"""ZeRO's stages 1 and 2 share out optimiser states and gradients; 3 the weights."""
YES = ("1", "true", "yes", "on", "y", "t")


def refuse_sharded(arguments: Any) -> None:
    """Raises ``InputError`` where the student's weights would be spread over the processes.

    Args:
        arguments: The host's training arguments; accelerate's launcher says the same by environment variables.
    """
    if (what := _sharding(arguments)) is None:
        return
    raise InputError(
        expected="a way of training that keeps the whole student on every process",
        got=what,
        consequence="the student could be neither saved, nor measured, nor mined with between the stages",
        remedy="start it by torchrun or accelerate launch without it (DDP), or use DeepSpeed's ZeRO stage 1 or 2; a "
        "retriever that needs more is not what this package distils",
    )


def _sharding(arguments: Any) -> str | None:
    if getattr(arguments, "fsdp", None) or os.environ.get("ACCELERATE_USE_FSDP", "").lower() in YES:
        return "FSDP"
    parallelism = getattr(arguments, "parallelism_config", None)
    for size in ("dp_shard_size", "tp_size", "cp_size"):
        if (parts := getattr(parallelism, size, 1) or 1) > 1:
            return f"parallelism_config with {size}={parts}"
    stage = _zero_stage(arguments)
    return f"DeepSpeed's ZeRO stage {stage}" if stage > WHOLE_UP_TO else None


def _zero_stage(arguments: Any) -> int:
    """0 without DeepSpeed; the host makes the plugin, also where accelerate's launcher asks for it."""
    config, plugin = (getattr(arguments, name, None) for name in ("hf_deepspeed_config", "deepspeed_plugin"))
    if config is not None and config.is_zero3():
        return 3
    return int(getattr(plugin, "zero_stage", None) or 0)
