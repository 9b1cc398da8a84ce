"""Where a figure comes from: processor, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import torch

from st_mta.precision import CPUINFO, resolve_precision
from st_mta.report.build import installed_versions

INSTRUCTIONS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
"""Those on which the speed of matrix products depends, as Linux names them."""


def environment() -> dict[str, object]:
    """Processor, its cores and instructions, whether bf16 is used on it, versions and commit."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else processor(),
        "cores": os.cpu_count(),
        "instructions": instructions(),
        "bf16": resolve_precision("auto", torch.device(device)) == torch.bfloat16,
        "versions": installed_versions(),
        "commit": commit(),
    }


def processor() -> str:
    """The processor's name as the system gives it."""
    return _cpuinfo("model name") or platform.processor()


def instructions() -> list[str]:
    """Those of [`INSTRUCTIONS`] that the processor has, in that order; none known where there is no /proc/cpuinfo."""
    flags = _cpuinfo("flags").split()
    return [name for name in INSTRUCTIONS if name in flags]


def _cpuinfo(field: str) -> str:
    """What /proc/cpuinfo says of the first core, "" where it says nothing."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(field)), "")


def commit() -> str:
    """The commit of the code that ran."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def data_folder() -> Path:
    """The folder of test collections, from $ST_MTA_DATA or beside the project; without one the command ends."""
    places = [os.environ.get("ST_MTA_DATA"), Path(__file__).parents[2] / "shared" / "data"]
    for place in places:
        if place and Path(place).is_dir():
            return Path(place)
    raise SystemExit("The test collections are needed: set ST_MTA_DATA to the folder that holds them.")
