"""Step time and peak memory of word-level losses beside `ListwiseKLLoss` alone.

    python -m benchmarks.word_level_cost [--settings short long] [--rounds 20] [--output result.json]

A step is forward, backward and the optimiser's step. In every round each loss takes one step on the same batch, on its
own copy of one student, in random order, so that all see the same machine; the median of the rounds' ratios to
`ListwiseKLLoss` is reported with a bootstrap interval. A live teacher's own forward pass is timed inside the same
steps and subtracted: what remains is the student's part, putting the teacher's input together, and the comparison.
Memory is that of a process per loss. Needs the collections ($ST_MTA_DATA).
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from scipy import stats

from benchmarks.environment import data_folder, environment
from benchmarks.word_level_cost.memory import peak_memory
from benchmarks.word_level_cost.steps import BASELINE, LOSSES, SETTINGS, Steps, batches, models
from st_mta.atomic import atomic_write_text

WARM_UP = 2
"""Rounds that do not count."""
MOST_TIME, MOST_MEMORY = 1.6, 1.5
"""How many times the time and the memory of ListwiseKLLoss a word-level loss may take."""


def main() -> None:
    """Measures every setting and writes ``result.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("result.json"))
    options = parser.parse_args()
    data = data_folder()
    start = time.perf_counter()
    result: dict[str, Any] = {"settings": {}}
    for name in options.settings:
        timed, memory = _time(data, name, options.rounds), _memory(name)
        losses = {loss: timed[loss] | memory[loss] for loss in LOSSES}
        result["settings"][name] = {**asdict(SETTINGS[name]), "losses": losses}
        _print(name, losses)
    bounds = {"time": MOST_TIME, "memory": MOST_MEMORY}
    result |= {"rounds": options.rounds, "bounds": bounds, "environment": environment()}
    result["seconds"] = round(time.perf_counter() - start, 1)
    atomic_write_text(options.output, json.dumps(result, indent=2) + "\n")


def _time(data: Path, name: str, rounds: int) -> dict[str, dict[str, Any]]:
    student, teacher = models(SETTINGS[name], "cuda" if torch.cuda.is_available() else "cpu")
    given = batches(student, data, SETTINGS[name], min(rounds, 20))
    steps = {loss: Steps(student, teacher, make) for loss, make in LOSSES.items()}
    random = np.random.default_rng(0)
    whole: dict[str, list[float]] = {loss: [] for loss in LOSSES}
    own: dict[str, list[float]] = {loss: [] for loss in LOSSES}
    for number in range(WARM_UP + rounds):
        for loss in random.permutation(list(LOSSES)).tolist():
            seconds = steps[loss](given[number % len(given)])
            whole[loss].append(seconds)
            own[loss].append(seconds - steps[loss].teacher_seconds)
    return {
        loss: {
            "seconds": round(median(whole[loss][WARM_UP:]), 4),
            "teacher_seconds": round(median(a - b for a, b in zip(whole[loss][WARM_UP:], own[loss][WARM_UP:])), 4),
            "time": _ratio(own[loss][WARM_UP:], own[BASELINE][WARM_UP:]),
            "time_with_teacher": _ratio(whole[loss][WARM_UP:], whole[BASELINE][WARM_UP:]),
        }
        for loss in LOSSES
    }


def _ratio(seconds: list[float], baseline: list[float]) -> dict[str, float]:
    """Median of the ratios of each round, with its bootstrap interval."""
    ratios = np.asarray(seconds) / np.asarray(baseline)
    if np.ptp(ratios) == 0:  # the baseline itself
        return {"ratio": float(ratios[0]), "low": float(ratios[0]), "high": float(ratios[0])}
    interval = stats.bootstrap((ratios,), np.median, n_resamples=2000, random_state=0).confidence_interval
    found = {"ratio": np.median(ratios), "low": interval.low, "high": interval.high}
    return {name: round(float(value), 4) for name, value in found.items()}


def _memory(name: str) -> dict[str, dict[str, Any]]:
    measured = {loss: peak_memory(name, loss, steps=4) for loss in LOSSES}
    return {
        loss: {
            "bytes": each,
            "memory": round(each["peak"] / measured[BASELINE]["peak"], 4),
            "memory_of_steps": round(_grown(each) / _grown(measured[BASELINE]), 4),
        }
        for loss, each in measured.items()
    }


def _grown(measured: dict[str, int]) -> int:
    """What the steps needed beyond libraries and models."""
    return measured["peak"] - measured["before"]


def _print(name: str, losses: dict[str, dict[str, Any]]) -> None:
    for loss, measured in losses.items():
        time_, memory = measured["time"], measured["memory"]
        print(
            f"{name:6} {loss:12} {measured['seconds']:.3f} s, of it teacher {measured['teacher_seconds']:.3f} s; time "
            f"x {time_['ratio']:.2f} ({time_['low']:.2f} to {time_['high']:.2f}), with teacher "
            f"x {measured['time_with_teacher']['ratio']:.2f}; memory x {memory:.2f}, of the steps alone "
            f"x {measured['memory_of_steps']:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
