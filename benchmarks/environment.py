"""Where a figure comes from: processor, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import torch

from st_mta.precision import resolve_precision
from st_mta.report.build import installed_versions


def environment() -> dict[str, object]:
    """Processor, its cores, whether bf16 is used on it, versions and commit."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else processor(),
        "cores": os.cpu_count(),
        "bf16": resolve_precision("auto", torch.device(device)) == torch.bfloat16,
        "versions": installed_versions(),
        "commit": commit(),
    }


def processor() -> str:
    """The processor's name as the system gives it."""
    path = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in path.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


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
