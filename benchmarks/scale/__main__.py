"""Rehearses the whole flow on made-up texts and writes down what every stage takes.

    python -m benchmarks.scale [--passages 880000] [--queries 50000] [--work-dir DIR] [--output DIR]

Texts, embeddings and the teacher's scores are random; everything else is what a distillation runs. What was measured
is kept by size in result.json; from two sizes the table works out what MS MARCO (8.8 million passages, half a million
queries) would take. A killed rehearsal goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.environment import environment
from benchmarks.scale.measured import Measured
from benchmarks.scale.page import page
from st_mta.atomic import atomic_write_text

HERE = Path(__file__).parent


def main(arguments: list[str] | None = None) -> None:
    """Writes the collection, rehearses in a process of its own, and adds the result to the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=880_000)
    parser.add_argument("--queries", type=int, default=50_000)
    parser.add_argument("--work-dir", type=Path, help="Several GB; a temporary folder of these sizes by default.")
    parser.add_argument("--output", type=Path, default=HERE, help="For result.json and result.md.")
    parser.add_argument("--part", choices=("texts", "stages"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    work = given.work_dir or Path(tempfile.gettempdir()) / f"st-mta-scale-{given.passages}-{given.queries}"
    if given.part:
        run_part(given.part, work, given.passages, given.queries)
        return
    command = [sys.executable, "-m", "benchmarks.scale", "--passages", str(given.passages)]
    command += ["--queries", str(given.queries), "--work-dir", str(work)]
    # What made the texts would still be in memory.
    for part in ("texts", "stages"):
        subprocess.run([*command, "--part", part], check=True)
    add_result(given.output, given.passages, given.queries, Measured(work / "measured.json"))


def run_part(part: str, work: Path, passages: int, queries: int) -> None:
    """The texts, where they are not there yet, or the stages."""
    if part == "texts":
        from benchmarks.scale.texts import write_collection

        if not (work / "collection" / "queries.jsonl").exists():
            write_collection(work / "collection", passages, queries)
        return
    from benchmarks.scale.stages import Rehearsal

    logging.basicConfig(level=logging.INFO)
    measured = Measured(work / "measured.json")
    measured.take("libraries alone")
    Rehearsal(work, queries, measured).run()


def add_result(output: Path, passages: int, queries: int, measured: Measured) -> None:
    """Writes result.json and result.md with this rehearsal among those of other sizes."""
    path = output / "result.json"
    results = json.loads(path.read_text()) if path.exists() else []
    results = [result for result in results if result["passages"] != passages]
    results.append({"passages": passages, "queries": queries, "stages": measured.stages, "environment": environment()})
    results.sort(key=lambda result: result["passages"])
    output.mkdir(parents=True, exist_ok=True)
    atomic_write_text(path, json.dumps(results, indent=2) + "\n")
    atomic_write_text(output / "result.md", page(results))


if __name__ == "__main__":
    main()
