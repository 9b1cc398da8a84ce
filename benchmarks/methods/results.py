"""One run per word and seed, and the table: each word against plain KL."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.assistants.summary import comparisons
from benchmarks.memory import forget_peak, memory_now, memory_peak
from benchmarks.methods.material import COLLECTION, Shared
from benchmarks.methods.words import KL, WORDS
from st_mta.atomic import atomic_write_text
from st_mta.evaluation import evaluate_scorer
from st_mta.evaluation.measures import per_query
from st_mta.run.results import Trained
from st_mta.training.run_state import STUDENT
from st_mta.training.stages.train import TRAIN

TRAINED = f"iteration-00/{TRAIN}"


def run_word(shared: Shared, word: str, seed: int) -> dict[str, Any]:
    """Trains and measures, or reads what was measured before; a killed run resumes at its last stage.

    Returns:
        ``measures`` and ``per_query`` nDCG@10 on test by collection, ``dev`` before and after, and ``compute``. The
        student of the iteration is measured, whether or not it is better on dev than the one before.
    """
    folder = shared.work / "runs" / f"{re.sub(r'[^a-z-]+', '-', word.lower())}-{seed}"
    path = folder / "result.json"
    if path.exists():
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return kept
    run = shared.prepare(folder.name, seed=seed, **WORDS[word])
    forget_peak()
    before = memory_now()
    start, cpu = time.perf_counter(), time.process_time()
    run.learn()
    spent = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    trained = run.journal.result(TRAINED, Trained)
    student = run.students.scorer(run.folder.iteration(0) / STUDENT, word)
    found, measures = evaluate_scorer(student, run.collection, "test")
    done = {
        "measures": {COLLECTION: measures},
        "per_query": {COLLECTION: per_query(found, run.collection.qrels["test"], "ndcg@10")},
        "dev": run.dev_quality(),
        "kept": 0,
        "compute": {
            "steps": trained.steps,
            "sequences": trained.sequences,
            "grown_mib": round((memory_peak() - before) / 2**20),
            **{name: round(value, 1) for name, value in spent.items()},
        },
    }
    atomic_write_text(path, json.dumps(done))
    return done


def rows(runs: Mapping[str, Mapping[int, dict[str, Any]]]) -> list[dict[str, str]]:
    """A row per word: mean and spread over the seeds, the paired difference from KL, what it costs."""
    tested = tests(runs)
    table = []
    for word, by_seed in runs.items():
        values = [run["measures"][COLLECTION]["ndcg@10"] for run in by_seed.values()]
        row = {
            "Word": word,
            "nDCG@10": f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else ""),
            "Minus KL": "–",
            "p (Holm)": "–",
        }
        if word in tested:
            pooled = tested[word]["pooled"]
            low, high = (-bound for bound in reversed(pooled["confidence_interval"]))
            row["Minus KL"] = f"{-pooled['difference']:+.4f} ({low:+.4f} to {high:+.4f})"
            row["p (Holm)"] = f"{pooled['p_value']:.3f} ({pooled['p_holm']:.3f})"
        row["CPU seconds"] = f"{mean(run['compute']['cpu_seconds'] for run in by_seed.values()):.0f}"
        grown = [run["compute"]["grown_mib"] for run in by_seed.values() if "grown_mib" in run["compute"]]
        row["MiB more at most"] = f"{max(grown):,}" if grown else "–"
        table.append(row)
    return table


def tests(runs: Mapping[str, Mapping[int, dict[str, Any]]]) -> dict[str, Any]:
    """KL against every other word over the queries, each query's nDCG@10 a mean over the seeds; corrected by Holm."""
    return comparisons({word: {COLLECTION: by_seed} for word, by_seed in runs.items()}, KL)


def write(runs: Mapping[str, Mapping[int, dict[str, Any]]], result: dict[str, Any], folder: Path, table: str) -> None:
    """``result.json`` and ``result.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    words = {
        word: {
            str(seed): {"measures": run["measures"], "dev": run["dev"], "compute": run["compute"]}
            for seed, run in by_seed.items()
        }
        for word, by_seed in runs.items()
    }
    atomic_write_text(folder / "result.json", json.dumps({"words": words, **result}, indent=2) + "\n")
    atomic_write_text(folder / "result.md", table + "\n")
