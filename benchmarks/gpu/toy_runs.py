"""Distillations of models of two layers, as commands, for what is about processes and not about speed."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file

from benchmarks.gpu.material import toys

TRAINING = {"save_steps": 2, "logging_steps": 1}


def arguments(work: Path, name: str, device: str, epochs: int = 1) -> list[str]:
    """What stands behind ``st-mta``: a run of four steps an epoch into a folder and a store of this name."""
    toys(work / "toys")
    folder = work / "toys"
    return [
        "distill", "--collection", str(folder / "collection"), "--teacher", str(folder / "teacher"),
        "--assistants", str(folder / "retriever"), "bm25", "--student", str(folder / "student"),
        "--output-dir", str(work / name), "--store", str(work / f"store-{name}"), "--num-iterations", "1",
        "--num-candidates", "5", "--batch-size", "6", "--regression-epochs", "1",
        "--device", device, "--precision", "fp32", "--training", json.dumps({**TRAINING, "num_train_epochs": epochs}),
    ]  # fmt: skip


def finished_stages(folder: Path) -> list[str]:
    """Names of the stages that a run's journal holds."""
    path = folder / "state.json"
    return list(json.loads(path.read_text())["stations"]) if path.exists() else []


def largest_difference(first: Path, second: Path) -> float:
    """Between the weights of two runs' students."""
    ours, theirs = (load_file(folder / "student" / "model.safetensors") for folder in (first, second))
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)
