"""How long ``import_scores`` takes over ten million scores made up for it, and the memory it needs.

python -m benchmarks.import_speed FOLDER [--rows 10000000] prints one JSON line for each of two forms: one with ids,
whose texts are elsewhere, and one that holds every text as often as it is listed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.environment import environment
from benchmarks.memory import memory_peak
from st_mta.recipes.import_scores import import_scores

LISTED = 32
PASSAGES = 1_000_000
TEXT = "passage {} " + "some words about things " * 10
FORMS = ("pylate", "flagembedding")


def write_scores(path: Path, form: str, rows: int) -> None:
    """Random lists of 32 passages."""
    random = np.random.default_rng(0)
    with open(path, "w", encoding="utf-8") as file:
        for query in range(rows // LISTED):
            passages = random.integers(0, PASSAGES, LISTED).tolist()
            scores = random.normal(size=LISTED).round(5).tolist()
            if form == "pylate":
                record = {"query_id": str(query), "document_ids": [str(each) for each in passages], "scores": scores}
            else:
                texts = [TEXT.format(each) for each in passages]
                record = {"query": f"what is {query}?", "pos": texts[:1], "neg": texts[1:]}
                record |= {"pos_scores": scores[:1], "neg_scores": scores[1:]}
            file.write(json.dumps(record) + "\n")


def write_texts(folder: Path, rows: int) -> dict[str, Path]:
    """The texts of the form that has none."""
    counts = {"corpus": (PASSAGES, TEXT), "queries": (rows // LISTED, "what is {}?")}
    for name, (count, text) in counts.items():
        columns = {"id": [str(each) for each in range(count)], "text": [text.format(each) for each in range(count)]}
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return {name: folder / f"{name}.parquet" for name in counts}


def measure(folder: Path, form: str, rows: int) -> dict[str, object]:
    """Seconds, processor seconds and peak memory of an import in this process."""
    path, texts = folder / f"{form}.jsonl", write_texts(folder, rows) if form == "pylate" else {}
    write_scores(path, form, rows)
    corpus, queries = texts.get("corpus"), texts.get("queries")
    began, worked = time.perf_counter(), time.process_time()
    import_scores(path, folder / f"{form}-imported", corpus=corpus, queries=queries)
    return {
        "form": form,
        "rows": rows,
        "file_gib": round(path.stat().st_size / 2**30, 2),
        "seconds": round(time.perf_counter() - began, 1),
        "processor_seconds": round(time.process_time() - worked, 1),
        "peak_resident_gib": round(memory_peak() / 2**30, 2),
        "environment": environment(),
    }


def main() -> None:
    """Each form in a process of its own, so that each has its own peak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--form", choices=FORMS)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.form:
        print(json.dumps(measure(given.folder, given.form, given.rows)))
        return
    for form in FORMS:
        command = [sys.executable, "-m", "benchmarks.import_speed", *sys.argv[1:], "--form", form]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
