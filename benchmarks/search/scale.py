"""Two million passages through ``st-mta evaluate``: killed once, resumed, its peak memory taken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from st_mta.scorers import model_path

WORDS_PER_PASSAGE = 8
PASSAGES_PER_WRITE = 100_000
POLL = 0.5


def measure(work: Path, num_passages: int, num_queries: int) -> dict[str, Any]:
    """Kills an evaluation when a third of the passages is stored, lets another finish, and counts."""
    if not (work / "collection" / "qrels" / "test.tsv").exists():
        write_collection(work / "collection", num_passages, num_queries)
        static_model().save_pretrained(str(work / "model"))
    killed_at = kill_when_stored(command(work), work / "store", num_passages // 3)
    parts_before = {path: path.stat().st_mtime_ns for path in work.glob("store/**/document/part-*.npy")}
    seconds, peak = run_to_the_end(command(work))
    rows = stored_rows(work / "store")
    return {
        "passages": num_passages,
        "queries": num_queries,
        "dimension": 384,
        "rows_stored_at_the_kill": killed_at,
        "rows_stored_at_the_end": rows,
        "no_part_was_written_again": all(path.stat().st_mtime_ns == then for path, then in parts_before.items()),
        "nothing_encoded_twice": rows == num_passages,
        "seconds_after_the_kill": round(seconds, 1),
        "peak_resident_gib": round(peak / 2**30, 2),
        "measures": json.loads((work / "out" / "results.json").read_text())[str(work / "model")]["collection"],
    }


def command(work: Path) -> list[str]:
    """The evaluation, as a user types it."""
    return [
        sys.executable, "-m", "st_mta", "evaluate", "--model", str(work / "model"),
        "--collection", str(work / "collection"), "--output-dir", str(work / "out"), "--store", str(work / "store"),
    ]  # fmt: skip


def static_model(dimension: int = 384) -> SentenceTransformer:
    """A model that only averages (random) vectors of words: encoding is fast, all else is as with any model."""
    tokenizer = SentenceTransformer(model_path("minilm")).tokenizer
    weights = np.random.default_rng(0).standard_normal((len(tokenizer), dimension), dtype=np.float32)
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)])


def write_collection(folder: Path, num_passages: int, num_queries: int) -> None:
    """Passages of random words in the layout of BEIR; a query is some words of its relevant passage."""
    random = np.random.default_rng(1)
    tokenizer = SentenceTransformer(model_path("minilm")).tokenizer
    words = np.asarray(sorted(word for word in tokenizer.get_vocab() if word.isalpha() and len(word) > 2))
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    relevant = set(random.choice(num_passages, num_queries, replace=False).tolist())
    queries: list[tuple[int, str]] = []
    with open(folder / "corpus.jsonl", "w", encoding="utf-8") as file:
        for start in range(0, num_passages, PASSAGES_PER_WRITE):
            count = min(PASSAGES_PER_WRITE, num_passages - start)
            rows = words[random.integers(0, len(words), (count, WORDS_PER_PASSAGE))].tolist()
            texts = [f"{' '.join(row)} {start + place}" for place, row in enumerate(rows)]
            file.writelines(
                f'{{"_id": "p{start + place}", "title": "", "text": "{text}"}}\n' for place, text in enumerate(texts)
            )
            queries += [(start + i, " ".join(rows[i][:3])) for i in range(count) if start + i in relevant]
    lines = [json.dumps({"_id": f"q{passage}", "text": text}) for passage, text in queries]
    (folder / "queries.jsonl").write_text("\n".join(lines) + "\n")
    judged = [f"q{passage}\tp{passage}\t1" for passage, _ in queries]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]) + "\n")


def kill_when_stored(arguments: list[str], store: Path, rows: int) -> int:
    """Starts the command, sends SIGKILL once so many rows are stored, and says how many there were."""
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    while stored_rows(store) < rows:
        if process.poll() is not None:
            raise SystemExit(f"the evaluation ended with exit code {process.returncode} before it could be killed")
        time.sleep(POLL)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return stored_rows(store)


def run_to_the_end(arguments: list[str]) -> tuple[float, int]:
    """Seconds and peak resident bytes of the command."""
    start = time.perf_counter()
    process = subprocess.Popen(arguments)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the evaluation ended with exit code {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def stored_rows(store: Path) -> int:
    """Passages whose embeddings are stored."""
    return sum(len(np.load(path, mmap_mode="r")) for path in store.glob("**/document/part-*.keys.npy"))
