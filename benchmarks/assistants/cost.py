"""What fusion and selection cost in a training step: the same batches with three assistants and without any.

    python -m benchmarks.assistants.cost [--steps 60]

A step is collating, forward, backward and the optimiser's step. Steps with and without assistants alternate on copies
of one student, in random order within each pair, so that both see the same machine. The median of the pairs' ratios is
reported with a bootstrap interval.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from scipy import stats
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import batch_to_device

from benchmarks.environment import data_folder, environment
from st_mta.assistants.targets import AssistantTargets
from st_mta.collections import load_collection
from st_mta.losses import ListwiseKLLoss
from st_mta.mining import mine
from st_mta.scored import ScoredCandidates
from st_mta.scorers import BM25, model_path
from st_mta.training.collator import FlatDocumentsCollator, listwise_dataset
from st_mta.training.students import prune_layers, set_dropout

ASSISTANTS = ("first", "second", "third")
BATCH, CANDIDATES = 32, 8


def main() -> None:
    """Measures and writes ``cost.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60, help="Pairs of steps.")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("cost.json"))
    options = parser.parse_args()
    data = data_folder()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    student = prune_layers(SentenceTransformer(model_path("minilm"), device=device), [0, 2, 5])
    set_dropout(student, 0.0)
    batches = _batches(student, data / "openbookqa", options.steps)
    with_assistants = _Steps(student, len(ASSISTANTS), batches)
    without = _Steps(student, 0, batches)
    random = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    for number in range(options.steps):
        pair: list[tuple[str, Callable[[int], float]]] = [("with", with_assistants), ("without", without)]
        for side, step in pair if random.integers(2) else pair[::-1]:
            seconds[side].append(step(number))
    ratios = np.asarray(seconds["with"][5:]) / np.asarray(seconds["without"][5:])
    interval = stats.bootstrap((ratios,), np.median, n_resamples=2000, random_state=0).confidence_interval
    result = {
        "ratio": round(float(np.median(ratios)), 4),
        "interval": [round(float(interval.low), 4), round(float(interval.high), 4)],
        "median_seconds": {side: round(float(np.median(values[5:])), 4) for side, values in seconds.items()},
        "members": len(with_assistants.targets.members),
        "pairs_of_steps": len(ratios),
        "batch": BATCH,
        "candidates": CANDIDATES,
        "environment": environment(),
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


class _Steps:
    """Training steps of a copy of the student, with the scores of so many assistants in the labels."""

    def __init__(self, student: SentenceTransformer, assistants: int, batches: list[Callable[[], Any]]) -> None:
        self.student, self.batches, self.scorers = copy.deepcopy(student), batches, 1 + assistants
        self.targets = AssistantTargets(ASSISTANTS[:assistants], [1.0] * self.scorers)
        self.loss = ListwiseKLLoss(self.student, targets=self.targets)
        self.optimizer = torch.optim.AdamW(self.student.parameters(), lr=1e-5)
        self.student.train()

    def __call__(self, number: int) -> float:
        start = time.perf_counter()
        batch = batch_to_device(self.batches[number % len(self.batches)](), self.student.device)
        label = {**batch["label"], "scores": batch["label"]["scores"][:, : self.scorers]}
        columns = sorted({key.rsplit("_", 2)[0] for key in batch if key.endswith("_input_ids")}, key=_place)
        features = [
            {key.removeprefix(f"{name}_"): batch[key] for key in batch if key.startswith(f"{name}_")}
            for name in columns
        ]
        self.loss(features, label).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.student.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start


def _place(column: str) -> tuple[bool, int]:
    """The query first, then the documents in their order."""
    return column != "query", int(column.rsplit("_", 1)[-1]) if column != "query" else 0


def _batches(student: SentenceTransformer, folder: Path, steps: int) -> list[Callable[[], Any]]:
    """Collating of the batches, with random scores of a teacher and three assistants."""
    collection = load_collection(folder)
    queries = collection.queries_of("train")[: BATCH * min(steps, 60)]
    lists = mine(collection, queries, [BM25()], collection.qrels["train"], num_candidates=CANDIDATES)
    scores = np.random.default_rng(0).normal(size=(1 + len(ASSISTANTS), len(lists.passages))).astype(np.float32)
    rows: Dataset = listwise_dataset(ScoredCandidates(lists, scores), collection.queries)
    collator = FlatDocumentsCollator(student.preprocess, corpus=collection.corpus, documents_per_forward=32)

    def collate(start: int) -> Any:
        return collator([rows[row] for row in range(start, start + BATCH)])

    return [partial(collate, start) for start in range(0, len(rows) - BATCH + 1, BATCH)]


if __name__ == "__main__":
    main()
