"""Which number format frozen scorers and training use on this machine."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from st_mta.errors import InputError

CPUINFO = Path("/proc/cpuinfo")
PRECISIONS: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


def resolve_precision(precision: str, device: torch.device | str) -> torch.dtype:
    """The number format to compute in.

    Args:
        precision: "fp32", "bf16", or "auto" for bf16 wherever the hardware multiplies it faster than fp32.
        device: Where the model runs.

    Returns:
        ``torch.bfloat16`` or ``torch.float32``.

    Raises:
        InputError: If the word is unknown.
    """
    if precision in PRECISIONS:
        return PRECISIONS[precision]
    if precision != "auto":
        raise InputError(
            expected=f"a precision of {['auto', *PRECISIONS]}",
            got=repr(precision),
            consequence="models would run in a number format nobody chose",
            remedy="use 'auto', 'fp32' or 'bf16'",
        )
    return torch.bfloat16 if _multiplies_bf16_fast(torch.device(device)) else torch.float32


def precision_name(dtype: torch.dtype) -> str:
    """The word for a number format ("fp32", "bf16"), or torch's name for any other."""
    return next((name for name, known in PRECISIONS.items() if known == dtype), str(dtype).removeprefix("torch."))


def _multiplies_bf16_fast(device: torch.device) -> bool:
    if device.type == "cuda":
        # Cards before Ampere emulate bf16, slower than fp32.
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and cpu_multiplies_bf16_fast()


@lru_cache(maxsize=1)
def cpu_multiplies_bf16_fast() -> bool:
    """Whether this CPU has bf16 instructions (AMX-BF16 or AVX512-BF16)."""
    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(_flags_of_linux())


def _flags_of_linux() -> set[str]:
    """The CPU flags as Linux lists them; empty elsewhere."""
    if not CPUINFO.exists():
        return set()
    lines = CPUINFO.read_text().splitlines()
    return set(next((line for line in lines if line.startswith("flags")), "").split())
