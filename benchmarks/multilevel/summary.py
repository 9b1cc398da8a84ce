"""Every arm against the sentence level alone: paired tests, the table, the verdict."""

from __future__ import annotations

from statistics import mean, stdev
from typing import Any

from benchmarks.assistants.summary import Runs, comparisons
from benchmarks.multilevel.arms import BASELINE, LEVELS
from st_mta.evaluation.significance import holm

EXPECTED = 0.005
"""By how much nDCG@10 the word level should improve on the sentence level alone."""


def against_sentence_level(runs: Runs) -> dict[str, Any]:
    """Every other arm minus contrastive + sentence, as ``comparisons`` has it; p values corrected by Holm."""
    if BASELINE not in runs:
        return {}
    others = [arm for arm in runs if arm != BASELINE]
    found = {arm: comparisons({arm: runs[arm], BASELINE: runs[BASELINE]}, arm)[BASELINE] for arm in others}
    for arm, p_value in zip(others, holm([found[arm]["pooled"]["p_value"] for arm in others])):
        found[arm]["pooled"]["p_holm"] = p_value
    return found


def table_rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """One row per arm: means over the seeds and their spread, seconds, and the difference to the sentence level."""
    rows = []
    for arm, by_set in result["arms"].items():
        row = {"Arm": LEVELS[arm].what}
        for name, by_seed in by_set.items():
            values = [seed["ndcg@10"] for seed in by_seed.values()]
            row[f"{name} nDCG@10"] = f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")
        row["Seconds"] = f"{sum(entry['seconds'] for entry in result['compute'][arm].values()):.0f}"
        row["Minus the sentence level"], row["p (Holm)"] = "–", "–"
        if arm in result["comparisons"]:
            pooled = result["comparisons"][arm]["pooled"]
            low, high = pooled["confidence_interval"]
            row["Minus the sentence level"] = f"{pooled['difference']:+.4f} ({low:+.4f} to {high:+.4f})"
            row["p (Holm)"] = f"{pooled['p_value']:.4f} ({pooled['p_holm']:.4f})"
        rows.append(row)
    return rows


def verdict(result: dict[str, Any]) -> str:
    """The best arm with a word level and without assistants, in a sentence."""
    with_word = [arm for arm, levels in LEVELS.items() if levels.word and not levels.assistants]
    tested = {arm: result["comparisons"][arm] for arm in with_word if arm in result["comparisons"]}
    if not tested:
        return ""
    best = max(tested, key=lambda arm: float(tested[arm]["mean_of_collections"]))
    gain, pooled = tested[best]["mean_of_collections"], tested[best]["pooled"]
    pays = "pays" if gain >= EXPECTED and pooled["p_holm"] < 0.05 else "does not pay here"
    return (
        f"The best word level is {best}: {gain:+.4f} nDCG@10 over the sentence level alone on average over the "
        f"collections, p = {pooled['p_value']:.4f} ({pooled['p_holm']:.4f} corrected for all arms) over "
        f"{pooled['num_queries']} queries. By the bound of {EXPECTED} set beforehand, the word level {pays}."
    )
