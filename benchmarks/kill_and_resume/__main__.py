"""Kills a distillation at random moments, resumes it, and compares it with one that was never killed.

    python -m benchmarks.kill_and_resume [--kills 10] [--seed 0] [--work DIR]

Real models on 200 pairs of the embedded collection. Written to result.json: when each kill fell, whether the final
weights are equal bit for bit, and how many pairs were stored once or more often.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb
from safetensors.torch import load_file

from benchmarks.environment import environment
from st_mta.collections import load_collection

POLL = 0.05


def main() -> None:
    """Runs the comparison and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=None, help="Working folder (a temporary one by default).")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("result.json"))
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="kill-and-resume-"))
    write_collection(work / "collection")
    start = time.perf_counter()
    subprocess.run(command(work, "whole"), check=True)
    whole = time.perf_counter() - start
    kills, finished = run_with_kills(work, options.kills, whole, random.Random(options.seed))

    result = {
        "kills": kills,
        "finished_runs": finished,
        "same_weights": all(run["same_weights"] for run in finished),
        "same_pairs": all(run["pairs"] == stored_pairs(work / "store-whole") for run in finished),
        "pairs_unkilled": stored_pairs(work / "store-whole"),
        "seconds_unkilled": round(whole, 1),
        "environment": environment(),
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: result[key] for key in ("same_weights", "same_pairs", "finished_runs")}))
    shutil.rmtree(work)
    sys.exit(0 if result["same_weights"] and result["same_pairs"] else 1)


def write_collection(folder: Path, pairs: int = 200) -> None:
    """A folder in BEIR layout with some pairs of the embedded collection."""
    source = load_collection("pydocs")
    kept = {split: dict(list(qrels.items())[: pairs // 2]) for split, qrels in source.qrels.items()}
    queries = [query for qrels in kept.values() for query in qrels]
    passages = [passage for qrels in kept.values() for judged in qrels.values() for passage in judged]
    (folder / "qrels").mkdir(parents=True)
    for name, table, ids in (("queries", source.queries, queries), ("corpus", source.corpus, passages)):
        rows = [json.dumps({"_id": i, "text": table[i]}) for i in ids]
        (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    for split, qrels in kept.items():
        rows = [f"{query}\t{passage}\t{grade}" for query, judged in qrels.items() for passage, grade in judged.items()]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n")


def command(work: Path, name: str) -> list[str]:
    """The distillation, with a checkpoint every third step."""
    return [
        sys.executable, "-m", "st_mta", "distill", "--collection", str(work / "collection"),
        "--teacher", "late-interaction:minilm", "--assistants", "minilm", "bm25", "--student", "minilm",
        "--student-layers", "0", "5", "--output-dir", str(work / name), "--store", str(work / f"store-{name}"),
        "--num-iterations", "2", "--num-candidates", "4", "--batch-size", "8", "--max-length", "32",
        "--device", "cpu", "--precision", "fp32", "--training", '{"save_steps": 3, "logging_steps": 1}',
    ]  # fmt: skip


def run_with_kills(
    work: Path, kills: int, whole: float, source: random.Random
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Starts the run again and again, each time killed after a random part of the time of a run that is not killed.

    Returns:
        When each kill fell, and for every run that reached its end how it compares with the unkilled one.
    """
    log: list[dict[str, Any]] = []
    finished: list[dict[str, Any]] = []
    while True:
        process = subprocess.Popen(command(work, "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = source.uniform(0.2, 1.0) * whole if len(log) < kills else float("inf")
        start = time.perf_counter()
        while process.poll() is None and time.perf_counter() - start < after:
            time.sleep(POLL)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            log.append({"after_seconds": round(after, 1), "finished_stations": stations(work / "killed")})
            print(f"kill {len(log)}: {log[-1]}", flush=True)
        elif process.returncode != 0:
            raise SystemExit(f"the resumed run ended with exit code {process.returncode}")
        else:
            same = same_weights(work / "whole" / "student", work / "killed" / "student")
            finished.append({"same_weights": same, "pairs": stored_pairs(work / "store-killed"), "kills": len(log)})
            if len(log) >= kills:
                return log, finished
            # Finished before all kills had fallen: begin anew, with an empty store.
            shutil.rmtree(work / "killed")
            shutil.rmtree(work / "store-killed")


def stations(folder: Path) -> int:
    """How many stations the journal holds."""
    path = folder / "state.json"
    return len(json.loads(path.read_text())["stations"]) if path.exists() else 0


def same_weights(first: Path, second: Path) -> bool:
    """Whether two students have the same tensors, bit for bit."""
    a, b = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


def stored_pairs(store: Path) -> dict[str, int]:
    """Rows and distinct pairs over all score parts: equal numbers mean that nothing was scored twice."""
    parts = f"read_parquet('{store}/scores/*/*.parquet', filename = true)"
    query = (
        "SELECT count(*), count(DISTINCT (scorer, query, passage)) "
        f"FROM (SELECT parse_path(filename)[-2] AS scorer, query, passage FROM {parts})"
    )
    rows, distinct = duckdb.sql(query).fetchall()[0]
    return {"rows": rows, "distinct": distinct}


if __name__ == "__main__":
    main()
