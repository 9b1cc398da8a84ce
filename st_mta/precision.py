"""Which number format frozen scorers and training use.

"auto" is decided here and nowhere else: by the environment variable ``ST_MTA_PRECISION`` (fp32 or bf16) where it is
set, so that several machines compute the same, and otherwise by what the hardware multiplies faster.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import torch

from st_mta.lookup import check_choice

CPUINFO = Path("/proc/cpuinfo")
PRECISIONS: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
VARIABLE = "ST_MTA_PRECISION"
"""The environment variable that says what "auto" means."""


def resolve_precision(precision: str, device: torch.device | str) -> torch.dtype:
    """The number format to compute in.

    Args:
        precision: "fp32", "bf16", or "auto" for what ``ST_MTA_PRECISION`` says, and without it for bf16 wherever the
            hardware multiplies it faster than fp32.
        device: Where the model runs.

    Returns:
        ``torch.bfloat16`` or ``torch.float32``.

    Raises:
        InputError: If the argument or the variable is another word.
    """
    if precision != "auto":
        return _known("precision", precision, "auto", *PRECISIONS)
    if VARIABLE in os.environ:
        return _known(VARIABLE, os.environ[VARIABLE], *PRECISIONS)
    return torch.bfloat16 if _multiplies_bf16_fast(torch.device(device)) else torch.float32


def _known(option: str, word: str, *words: str) -> torch.dtype:
    check_choice(option, word, words)
    return PRECISIONS[word]


def precision_name(dtype: torch.dtype) -> str:
    """The word for a number format ("fp32", "bf16"), or torch's name for any other."""
    return next((name for name, known in PRECISIONS.items() if known == dtype), str(dtype).removeprefix("torch."))


class Devices:
    """The devices that torch can compute on here."""

    def __contains__(self, name: object) -> bool:
        try:
            torch.empty(0, device=torch.device(str(name)))
        except (RuntimeError, AssertionError, NotImplementedError):  # by the back end that is missing
            return False
        return True

    def __str__(self) -> str:
        return "to be a device of this machine, such as cpu, cuda or cuda:0"


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
    return set(next((line for line in CPUINFO.read_text().splitlines() if line.startswith("flags")), "").split())
