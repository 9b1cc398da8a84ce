"""The measures of beir, pytrec_eval and mteb beside those of st_mta.

    python -m benchmarks.beir_exact [NAME ...] [--model-on NAME ...] [--output FILE]

On every collection, one BM25 run is measured by all; tolerance 1e-6. One of them, whose queries have the ids of
passages, comes a second time without every tenth passage, judged ones among them: the shape of ArguAna as published.
On the small ones, one model (layers 0 and 5 of all-MiniLM-L6-v2, max length 64) is evaluated by each package from the
files on (own loader, search and measures); tolerance 1e-4, since mteb rounds to five decimals. Written to
result.json. Texts are encoded once for all packages.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from benchmarks.beir_exact import others
from benchmarks.beir_exact.by_mteb import mteb_measures
from benchmarks.environment import data_folder, environment
from st_mta import BM25, CollectionEvaluator, load_collection, prune_layers
from st_mta.evaluation import evaluate_scorer
from st_mta.scorers.load import model_path
from st_mta.types import Run

SPLIT, DEPTH = "test", others.DEPTH
MODEL_ON = ("cacm", "cranfield-src", "msmarco-mini", "dbpedia-mini", "nq-mini", "openbookqa")
INCOMPLETE, SUFFIX = "cacm", "-incomplete"
KEEP, MAX_LENGTH = [0, 5], 64
RUN_TOLERANCE, MODEL_TOLERANCE = 1e-6, 1e-4


def main() -> None:
    """Measures, writes the result, and fails where a difference is too large."""
    data = data_folder()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=sorted(path.parent.name for path in data.glob("*/corpus.jsonl")))
    parser.add_argument("--model-on", nargs="*", default=MODEL_ON)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("result.json"))
    options = parser.parse_args()
    logging.disable(logging.INFO)
    folders = {name: data / name for name in options.names}
    work = tempfile.TemporaryDirectory(prefix="beir-exact-")
    if INCOMPLETE in folders:
        folders[INCOMPLETE + SUFFIX] = without_every_tenth_passage(data / INCOMPLETE, Path(work.name))
    runs = {name: measured("run", name, same_run(folder)) for name, folder in folders.items()}
    model = prune_layers(model_path("minilm"), keep=KEEP)
    model.max_seq_length = MAX_LENGTH
    on = [name for name in folders if name.removesuffix(SUFFIX) in options.model_on]
    models = {name: measured("model", name, same_model(model, folders[name])) for name in on}
    worst = {"run": largest(runs), "model": largest(models)}
    result = {
        "same_run": runs,
        "same_model": models,
        "largest_difference": worst,
        "tolerance": {"run": RUN_TOLERANCE, "model": MODEL_TOLERANCE},
        "within_tolerance": worst["run"] <= RUN_TOLERANCE and worst["model"] <= MODEL_TOLERANCE,
        "versions": {name: version(name) for name in ("beir", "pytrec_eval-terrier", "mteb")},
        "environment": environment(),
    }
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(not result["within_tolerance"])


def without_every_tenth_passage(folder: Path, work: Path) -> Path:
    """A copy of a collection whose judgements name passages that nobody can find."""
    copy = Path(shutil.copytree(folder, work / f"{folder.name}{SUFFIX}"))
    lines = (copy / "corpus.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for number, line in enumerate(lines) if number % 10]
    (copy / "corpus.jsonl").write_text("".join(kept), encoding="utf-8")
    return copy


def same_run(folder: Path) -> dict[str, Any]:
    """One BM25 run measured here, by beir (which takes out the passages with the queries' ids itself) and by
    pytrec_eval.
    """
    collection = load_collection(folder)
    _, queries, qrels = others.load_as_beir(str(folder), SPLIT)
    run, ours = evaluate_scorer(BM25(), collection, SPLIT, depth=DEPTH)
    wanted = min(DEPTH + 1, len(collection.corpus))
    found = BM25().retrieve(collection.queries, collection.corpus, collection.queries_of(SPLIT), wanted)
    uncut = found.to_run(collection.queries, collection.corpus)
    # The passages we left out come in again, for beir to leave out; all others are those of our run.
    with_own: Run = {
        query_id: {key: score for key, score in passages.items() if key == query_id or key in run[query_id]}
        for query_id, passages in uncut.items()
    }
    return {
        "queries": len(queries),
        "with_the_id_of_a_passage": int((collection.corpus.find(list(qrels)) >= 0).sum()),
        "whose_own_passage_was_found": sum(query_id in passages for query_id, passages in with_own.items()),
        "without_relevant_passage": sum(max(grades.values()) < 1 for grades in qrels.values()),
        "st_mta": ours,
        "beir": others.beir_measures(qrels, with_own),
        "pytrec_eval": others.pytrec_measures(qrels, run),
    }


def same_model(model: SentenceTransformer, folder: Path) -> dict[str, Any]:
    """One model evaluated here, by beir and by mteb, each from its own reading of the files or texts."""
    corpus, queries, qrels = others.load_as_beir(str(folder), SPLIT)
    with others.encoded_once(model):
        return {
            "st_mta": CollectionEvaluator(load_collection(folder), SPLIT, name="", depth=DEPTH)(model),
            "beir": others.beir_measures(qrels, others.beir_run(model, corpus, queries)),
            "mteb": mteb_measures(model, corpus, queries, qrels),
        }


def measured(what: str, name: str, result: dict[str, Any]) -> dict[str, Any]:
    """The result with its largest difference, which is also printed."""
    theirs = [values for package, values in result.items() if isinstance(values, dict) and package != "st_mta"]
    result["largest_difference"] = max(
        abs(value - result["st_mta"][measure]) for values in theirs for measure, value in values.items()
    )
    print(f"{name:>16} {what:<5} largest difference {result['largest_difference']:.1e}", flush=True)
    return result


def largest(results: dict[str, dict[str, Any]]) -> float:
    """The largest difference of all collections."""
    return max((result["largest_difference"] for result in results.values()), default=0.0)


if __name__ == "__main__":
    main()
