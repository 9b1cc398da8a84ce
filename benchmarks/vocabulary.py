"""What a student loses that is cut in vocabulary: all-MiniLM-L6-v2, cut to a collection, on queries it was not cut to.

    python -m benchmarks.vocabulary [--collections openbookqa] [--shares 0 0.1 0.25 0.5 1]

For each share of the vocabulary that is kept whatever the texts are: the student's weights, nDCG@10 on the test
queries, how many of them have another embedding than before, and whether all passages have the very same one.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from benchmarks.environment import data_folder, environment
from st_mta.collections import load_collection
from st_mta.evaluation import evaluate_scorer
from st_mta.scorers import BiEncoderScorer, load_student
from st_mta.training.vocabulary import prune_vocabulary
from st_mta.types import Collection, FloatArray

NEAR = 1e-5
"""Greatest difference of embeddings that count as the same: queries are encoded in batches of other lengths."""


def main() -> None:
    """Cuts, measures, writes ``vocabulary.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collections", nargs="+", default=["openbookqa"])
    parser.add_argument("--shares", nargs="+", type=float, default=[0.0, 0.1, 0.25, 0.5, 1.0])
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    found: dict[str, Any] = {}
    for name in options.collections:
        collection = load_collection(data_folder() / name)
        whole = load_student("minilm", device="cpu")
        found[name] = {"whole": _measured(whole, collection, whole)}
        for share in options.shares:
            start, student = time.perf_counter(), load_student("minilm", device="cpu")
            prune_vocabulary(student, collection, keep_general=share)
            seconds = round(time.perf_counter() - start, 1)
            found[name][f"{share:g}"] = {**_measured(student, collection, whole), "seconds_to_cut": seconds}
            print(name, share, found[name][f"{share:g}"], flush=True)
    options.output.write_text(json.dumps({"cut": found, "environment": environment()}, indent=2) + "\n")


def _measured(student: SentenceTransformer, collection: Collection, whole: SentenceTransformer) -> dict[str, Any]:
    queries = collection.queries.take(collection.queries_of("test"))
    passages = collection.corpus.take(range(len(collection.corpus)))
    scorer = BiEncoderScorer(student, name="student", precision="fp32")
    return {
        "weights": sum(weight.numel() for weight in student.parameters()),
        "ndcg@10": round(evaluate_scorer(scorer, collection, "test")[1]["ndcg@10"], 4),
        "test_queries_that_change": round(float(np.mean(_distance(student, whole, queries) > NEAR)), 3),
        "passages_are_the_same": bool((_distance(student, whole, passages) == 0).all()),
    }


def _distance(one: SentenceTransformer, other: SentenceTransformer, texts: list[str]) -> FloatArray:
    """(n,) greatest difference of each text's embeddings by two models, from the same batches."""
    first, second = (model.encode(texts, show_progress_bar=False) for model in (one, other))
    distance: FloatArray = np.abs(first - second).max(axis=1)
    return distance


if __name__ == "__main__":
    main()
