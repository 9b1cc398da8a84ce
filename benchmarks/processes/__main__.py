"""The same distillation by one process and by several under torchrun, with the same batches in all.

    python -m benchmarks.processes [--processes 2] [--collection openbookqa] [--device cpu] [--work DIR]

Written to result.json: nDCG@10 on dev and test of both students, the paired difference on test, steps, seconds, and
whether the scores of the development queries are the same bit for bit. A command that was ended resumes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import platformdirs
import pyarrow as pa

from benchmarks.environment import data_folder, environment
from st_mta.collections import load_collection
from st_mta.evaluation.measures import per_query
from st_mta.evaluation.significance import paired_test
from st_mta.stores import text_keys
from st_mta.trec import read_run
from st_mta.types import Collection

BATCH, TEXTS = 32, 32
"""Queries of a step over lists and texts of a step of the warm-up, by all processes together."""


def main() -> None:
    """Runs both and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--collection", default="openbookqa")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work", type=Path, default=Path(platformdirs.user_cache_dir("st_mta-processes")))
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("result.json"))
    options = parser.parse_args()
    runs = {str(count): run(count, options) for count in (1, options.processes)}
    result = {
        "collection": options.collection,
        "processes": runs,
        "test": compared(runs, options),
        "scores_of_dev": same_scores(
            [options.work / f"store-{count}" for count in runs], load_collection(data_folder() / options.collection)
        ),
        "threads_per_process": 1,
        "environment": environment(),
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def run(count: int, options: argparse.Namespace) -> dict[str, Any]:
    """One distillation: its command, quality and cost."""
    folder = options.work / f"run-{count}"
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", str(count)] if count > 1 else []
    arguments = [
        *("--collection", str(data_folder() / options.collection), "--output-dir", str(folder)),
        *("--store", str(options.work / f"store-{count}"), "--teacher", "minilm", "--student", "minilm"),
        *("--student-layers", "0", "3", "5", "--assistants", "late-interaction:minilm", "bm25"),
        *("--num-iterations", "2", "--num-candidates", "6", "--queries-per-iteration", "1600"),
        *("--contrastive-weight", "0.5", "--learning-rate", "3e-4", "--max-length", "64", "--device", options.device),
        *("--batch-size", str(BATCH // count), "--regression-batch-size", str(TEXTS // count)),
        *("--regression-epochs", "2"),
    ]
    if not (folder / "report.json").exists():
        command = [sys.executable, *launcher, "-m", "st_mta", "distill", *arguments]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return {
        "arguments": " ".join(arguments[2:]).replace(str(options.work), "work"),
        "ndcg@10": {role: report[role]["ndcg@10"] for role in ("teacher", "student_before", "student")},
        "recovered": report["recovered"],
        "compute": {name: value for name, value in report["compute"].items() if name != "seconds"},
        "seconds_by_stage": {name: round(value, 1) for name, value in report["compute"]["seconds"].items()},
    }


def compared(runs: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The paired test of the students' run files on the test split, the first run's minus the other's."""
    qrels = load_collection(data_folder() / options.collection).qrels["test"]
    values = [
        per_query(read_run(options.work / f"run-{count}" / "runs" / "student.trec"), qrels, "ndcg@10")
        for count in runs
    ]
    return asdict(paired_test(*values))


def same_scores(stores: list[Path], collection: Collection) -> dict[str, int]:
    """Pairs of development queries that both stores hold a score of by the same scorer; how many of these differ.

    These pairs are the same in both runs. Those of training depend on the students, whose last digits differ as sums
    over two processes do; pairs that are scored among others may then be rounded otherwise in bf16.
    """
    dev = pa.table({"query": text_keys(collection.queries)[collection.queries_of("dev")]})  # noqa: F841 (read by DuckDB)
    parts = [str(store / "scores" / "*" / "*.parquet") for store in stores]
    sides = [
        f"(SELECT parse_path(filename)[-2] AS scorer, * FROM read_parquet('{part}', filename = true))"
        for part in parts
    ]
    both, different = duckdb.sql(
        f"SELECT count(*), count(*) FILTER (a.score != b.score) FROM {sides[0]} a JOIN {sides[1]} b "
        "USING (scorer, query, passage) WHERE query IN (SELECT query FROM dev)"
    ).fetchall()[0]
    return {"pairs_in_both": both, "that_differ": different}


if __name__ == "__main__":
    main()
