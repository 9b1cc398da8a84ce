"""Peak memory of one loss, measured in a process of its own.

python -m benchmarks.word_level_cost.memory SETTING LOSS [--steps 4]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import torch

from benchmarks.environment import data_folder
from benchmarks.memory import memory_now, memory_peak
from benchmarks.word_level_cost.steps import LOSSES, SETTINGS, Steps, batches, models


def peak_memory(setting: str, loss: str, steps: int) -> dict[str, int]:
    """Bytes "before" the first step and at the "peak", from a new process."""
    command = [sys.executable, "-m", "benchmarks.word_level_cost.memory", setting, loss, "--steps", str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main() -> None:
    """Prints the two numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("setting", choices=list(SETTINGS))
    parser.add_argument("loss", choices=list(LOSSES))
    parser.add_argument("--steps", type=int, default=4)
    options = parser.parse_args()
    data, device = data_folder(), "cuda" if torch.cuda.is_available() else "cpu"
    assert data is not None
    setting = SETTINGS[options.setting]
    student, teacher = models(setting, device)
    given = batches(student, data, setting, options.steps)
    step = Steps(student, teacher, LOSSES[options.loss])
    del student, teacher
    before = memory_now()
    for batch in given[: options.steps]:
        step(batch)
    print(json.dumps({"before": before, "peak": memory_peak()}))


if __name__ == "__main__":
    main()
