"""Do batches of queries that share passages cost quality, and what do they save? Both orders at equal steps.

    python -m benchmarks.sharing [--collections NAME ...] [--seeds 3] [--queries 2000] [--candidates 16] [--epochs 2]
                                 [--work-dir DIR]

A three-layer student learns MiniLM's similarities over lists that MiniLM mined, with the contrastive term at its
default weight. Resumable: every training that ended is kept in the work folder and not done again. Needs the
collections openbookqa and squad-sent ($ST_MTA_DATA).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

import platformdirs
import transformers

from benchmarks.assistants.summary import comparisons
from benchmarks.environment import data_folder, environment
from benchmarks.sharing.trainings import BATCH_SIZE, ORDERS, Settings, Trainings
from st_mta.atomic import atomic_write_text

COLLECTIONS = ("openbookqa", "squad-sent")
FIGURES = ("dev_ndcg@10", "test_ndcg@10", "distinct_per_listed", "steps", "wall_seconds", "cpu_seconds")


def main() -> None:
    """Trains in both orders with every seed on every collection, tests, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collections", nargs="+", choices=COLLECTIONS, default=list(COLLECTIONS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=2000, help="Training queries at most, per collection.")
    parser.add_argument("--candidates", type=int, default=16, help="Passages per query.")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--work-dir", type=Path, default=Path(platformdirs.user_cache_dir("st_mta-sharing")))
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("result.json"))
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    settings = Settings(options.queries, options.candidates, options.epochs)
    runs: dict[str, Any] = {order: {} for order in ORDERS}
    for name in options.collections:
        trainings = Trainings(name, data_folder(), options.work_dir, settings)
        for seed in range(options.seeds):
            for order in ORDERS:  # one after the other, so that both meet the same machine
                done = runs[order].setdefault(name, {})[seed] = trainings.run(order, seed)
                print(name, seed, order, json.dumps({key: done[key] for key in FIGURES}), flush=True)
    result = summary(runs)
    result["settings"] = {**vars(settings), "seeds": options.seeds, "batch_size": BATCH_SIZE}
    result["environment"] = environment()
    atomic_write_text(options.output, json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: result[key] for key in ("means", "sharing_per_shuffled")}, indent=2))


def summary(runs: dict[str, dict[str, dict[int, dict[str, Any]]]]) -> dict[str, Any]:
    """Every training's figures, their means, the ratios of seconds, and the paired tests of test nDCG@10.

    Args:
        runs: Order -> collection -> seed -> what `Trainings.run` returned.
    """
    trainings = {
        order: {
            name: {str(seed): {key: done[key] for key in FIGURES} for seed, done in by_seed.items()}
            for name, by_seed in by_collection.items()
        }
        for order, by_collection in runs.items()
    }
    means = {
        order: {
            name: {key: round(mean(done[key] for done in by_seed.values()), 4) for key in FIGURES}
            for name, by_seed in by_collection.items()
        }
        for order, by_collection in runs.items()
    }
    ratios = {
        name: {
            key: round(means["sharing"][name][key] / means["shuffled"][name][key], 3)
            for key in ("wall_seconds", "cpu_seconds", "distinct_per_listed")
        }
        for name in means["sharing"]
    }
    tests = comparisons(runs, "sharing")["shuffled"]
    return {"trainings": trainings, "means": means, "sharing_per_shuffled": ratios, "sharing_minus_shuffled": tests}


if __name__ == "__main__":
    main()
