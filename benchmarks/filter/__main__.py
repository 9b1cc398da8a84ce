"""Precision and recall of false-negative filters in finding positives that were hidden from them.

    python -m benchmarks.filter [--collections NAME ...] [--queries 300] [--passages 4000] [--output DIR]

On collections with several positives per query all but one are taken out of the labels. Candidates are mined with
MiniLM and BM25; a rule finds a hidden positive when it filters it, and errs when it filters anything else. Passages
nobody judged count as negatives, so precision is a lower bound. Needs the collections ($ST_MTA_DATA).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import data_folder, environment
from benchmarks.filter.curves import curve
from benchmarks.filter.hidden import SOURCES, Hidden, hide, several_positives
from benchmarks.filter.plots import plot_rules
from benchmarks.filter.rules import ALSO, FILTERS, RANDOM, RELATIVE, excesses, same_decisions
from st_mta.atomic import atomic_write_text
from st_mta.report import markdown_table
from st_mta.scorers import BM25, BiEncoderScorer, model_path
from st_mta.search.corpus import pair_products
from st_mta.types import Collection, FloatArray

HERE = Path(__file__).parent
CANDIDATES, MAX_LENGTH = 50, 128
MINILM, FUSION = "MiniLM", "MiniLM + BM25"


def main() -> None:
    """Measures, draws, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collections", nargs="+", choices=list(SOURCES), default=list(SOURCES))
    parser.add_argument("--queries", type=int, default=300, help="At most so many per collection.")
    parser.add_argument("--passages", type=int, default=4000, help="Those judged, filled up with a seeded sample.")
    parser.add_argument("--output", type=Path, default=HERE, help="Folder for result.json, result.md and the plot.")
    options = parser.parse_args()
    data = data_folder()
    start = time.perf_counter()
    bi_encoder = BiEncoderScorer(model_path("minilm"), name="minilm", max_length=MAX_LENGTH)
    measured = {}
    for name in options.collections:
        measured[name] = _measure(several_positives(data, name, options.queries, options.passages), bi_encoder)
        print(name, json.dumps(_average_precision(measured[name])), flush=True)
    result = {
        "collections": measured,
        "one_rule_under_several_names": ALSO,
        "candidates": CANDIDATES,
        "environment": environment(),
        "seconds": round(time.perf_counter() - start, 1),
    }
    options.output.mkdir(parents=True, exist_ok=True)
    atomic_write_text(options.output / "result.json", json.dumps(result, indent=2) + "\n")
    atomic_write_text(options.output / "result.md", _page(result))
    plot_rules(result, options.output / "filter.png")
    print(_page(result))


def _measure(collection: Collection, bi_encoder: BiEncoderScorer) -> dict[str, Any]:
    hidden = hide(collection, bi_encoder, CANDIDATES)
    scores = _scores(collection, hidden, bi_encoder)
    judged, guides, differing = hidden.judged, {}, dict.fromkeys(FILTERS, 0)
    for guide, of_guide in scores.items():
        own, known = of_guide[judged], of_guide[hidden.known][judged]
        similarity = _similarity(collection, hidden, bi_encoder)[judged] if guide == MINILM else None
        rules = excesses(own, known, similarity)
        if guide != MINILM:
            del rules[RANDOM]
        found = hidden.found[judged]
        guides[guide] = {rule: curve(rule, excess, own, known, found) for rule, excess in rules.items()}
        margins = [point["margin"] for point in guides[guide][RELATIVE]["margins"]]
        differing = {rule: differing[rule] + n for rule, n in same_decisions(own, known, margins).items()}
    return {
        "queries": len(hidden.lists),
        "passages": len(collection.corpus),
        "pairs": int(judged.sum()),
        "hidden": int(hidden.found.sum()),
        "positives_not_in_the_lists": sum(map(len, collection.qrels["several"].values()))
        - int(hidden.found.sum() + hidden.lists.positive.sum()),
        "decisions_that_differ_from_the_hosts": differing,
        "guides": guides,
    }


def _scores(collection: Collection, hidden: Hidden, bi_encoder: BiEncoderScorer) -> dict[str, FloatArray]:
    """(P,) of each guide; the fusion adds z-scores, each over the whole of the pairs."""
    pairs = collection.queries, collection.corpus, hidden.lists.pair_queries, hidden.lists.passages
    parts = [scorer.score(*pairs) for scorer in (bi_encoder, BM25())]
    fused = np.sum([(part - part.mean()) / part.std() for part in parts], axis=0)
    return {MINILM: parts[0], FUSION: fused.astype(np.float32)}


def _similarity(collection: Collection, hidden: Hidden, bi_encoder: BiEncoderScorer) -> FloatArray:
    """(P,) cosine of each passage and the known positive of its query."""
    rows = bi_encoder.embed(collection.corpus, "document", np.arange(len(collection.corpus))).rows
    return pair_products(rows, rows, hidden.lists.passages[hidden.known], hidden.lists.passages)


def _average_precision(entry: dict[str, Any]) -> dict[str, float]:
    return {
        f"{rule} ({guide})": round(measured["average_precision"], 3)
        for guide, rules in entry["guides"].items()
        for rule, measured in rules.items()
    }


def _page(result: dict[str, Any]) -> str:
    """Average precision by rule, and what the relative margin does where a user would set it."""
    collections: dict[str, Any] = result["collections"]
    rules = [(guide, rule) for guide, of in next(iter(collections.values()))["guides"].items() for rule in of]
    table = [
        {"Rule": rule, "Scores of": "–" if rule == RANDOM else guide}
        | {name: f"{entry['guides'][guide][rule]['average_precision']:.3f}" for name, entry in collections.items()}
        for guide, rule in rules
    ]
    margins = [
        {"Relative margin": f"{point['margin']:+.2f}"}
        | {name: _cell(entry["guides"][MINILM][RELATIVE]["margins"][place]) for name, entry in collections.items()}
        for place, point in enumerate(next(iter(collections.values()))["guides"][MINILM][RELATIVE]["margins"])
    ]
    differing = sum(sum(entry["decisions_that_differ_from_the_hosts"].values()) for entry in collections.values())
    return (
        "Average precision in finding the hidden positives:\n\n"
        f"{markdown_table(table)}\n"
        "The relative and the absolute margin are one rule each under the names of `DynamicFilter`, `GISTEmbedLoss` "
        f"and `mine_hard_negatives`: {differing} decisions differed.\n\n"
        f"Precision / recall / share filtered at a relative margin, scores of {MINILM}:\n\n{markdown_table(margins)}"
    )


def _cell(point: dict[str, float | None]) -> str:
    precision = "–" if point["precision"] is None else f"{point['precision']:.2f}"
    return f"{precision} / {point['recall']:.2f} / {point['filtered']:.1%}"


if __name__ == "__main__":
    main()
