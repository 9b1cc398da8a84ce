"""The table: what a rehearsal took, and what MS MARCO would take by it."""

from __future__ import annotations

from typing import Any

from benchmarks.scale import RUN_QUERIES, SEARCHED

FULL_PASSAGES, FULL_QUERIES = 8_800_000, 500_000

BY_BOTH = ("BM25: searches",)
"""Time grows with passages times queries."""
PART = {"exact search": SEARCHED, "run: iteration-00/mine": RUN_QUERIES}
"""So it does here, where only so many queries were searched for."""
SAME = ("libraries alone", "run: iteration-00/train")

HELD: tuple[tuple[str, str, float], ...] = (
    ("texts and ids, in Arrow", "323 bytes a passage", 323 * FULL_PASSAGES),
    ("content keys, keys and places of copies", "24 bytes a passage", 24 * FULL_PASSAGES),
    ("BM25: an index of 34 different terms a passage", "8 bytes an entry", 34 * 8 * FULL_PASSAGES),
    ("BM25: counts while it is built, twice for a moment", "5 bytes an entry", 34 * 10 * FULL_PASSAGES),
    ("BM25: vocabulary, a dictionary of Python strings", "111 bytes a term", 111 * 2**21),
    ("judgements, dictionaries by id", "319 bytes a query with one passage", 319 * FULL_QUERIES),
    ("a ranking of all queries, 101 deep; two at a time", "1,212 bytes a query", 2 * 1212 * FULL_QUERIES),
    ("lists of 16 with three scores", "37 bytes a pair", 37 * 16 * FULL_QUERIES),
    ("looking their scores up", "some 100 bytes a pair", 100 * 16 * FULL_QUERIES),
    ("tokens of the passages in lists, for a training", "some 300 bytes a passage", 300 * 5_000_000),
)
"""What, how much of it, and bytes at full size; embeddings, stored scores and searches are read from files."""


def page(results: list[dict[str, Any]]) -> str:
    """Markdown of all rehearsals, the largest first; of each the smaller one before it says how memory grows.

    Args:
        results: By number of passages, ascending.
    """
    tables = [_table(large, small) for small, large in zip([None, *results], results)]
    held = [
        "What is held in memory at full size:",
        "",
        "| what | how much | GB |",
        "|---|---|---:|",
        *(f"| {what} | {each} | {num_bytes / 1e9:.1f} |" for what, each, num_bytes in HELD),
    ]
    return "\n\n".join([*reversed(tables), "\n".join(held)]) + "\n"


def _table(large: dict[str, Any], small: dict[str, Any] | None) -> str:
    head = "| stage | seconds | processor seconds | MB written | peak MB | hours at full size | GB written | peak GB |"
    lines = [
        f"{large['passages']:,} passages, {large['queries']:,} queries; full size is {FULL_PASSAGES:,} passages and "
        f"{FULL_QUERIES:,} queries.",
        "",
        head,
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        *(_row(name, stage, large, small) for name, stage in large["stages"].items()),
        "",
        _explained(large, small),
    ]
    return "\n".join(lines)


def _row(name: str, stage: dict[str, Any], large: dict[str, Any], small: dict[str, Any] | None) -> str:
    ratio = FULL_PASSAGES / large["passages"]
    hours = stage["processor_seconds"] * time_factor(stage["kind"], large) / 3600
    written = stage["written_mb"] * (1 if stage["kind"] in SAME else ratio) / 1e3
    measured = [stage["seconds"], stage["processor_seconds"], stage["written_mb"], stage["peak_mb"]]
    cells = [name, *(f"{value:,}" for value in measured), f"{hours:,.1f}", f"{written:,.1f}"]
    peak = full_peak(stage, large, small)
    return f"| {' | '.join(cells)} | {'?' if peak is None else f'{peak / 1e3:,.1f}'} |"


def time_factor(kind: str, large: dict[str, Any]) -> float:
    """How many times as long a stage takes at full size."""
    passages, queries = FULL_PASSAGES / large["passages"], FULL_QUERIES / large["queries"]
    if kind in BY_BOTH:
        return passages * queries
    if kind in PART:
        return passages * FULL_QUERIES / min(PART[kind], large["queries"])
    return 1 if kind in SAME else passages


def full_peak(stage: dict[str, Any], large: dict[str, Any], small: dict[str, Any] | None) -> float | None:
    """MB at full size, along the line through two sizes; None where the stage was measured at one alone."""
    others = small["stages"].values() if small else ()
    known = [other["peak_mb"] for other in others if other["kind"] == stage["kind"]]
    if not small or not known:
        return None
    slope = max(0.0, (stage["peak_mb"] - known[0]) / (large["passages"] - small["passages"]))
    return float(stage["peak_mb"] + slope * (FULL_PASSAGES - large["passages"]))


def _explained(large: dict[str, Any], small: dict[str, Any] | None) -> str:
    memory = (
        f"along the line through the peaks at {small['passages']:,} and {large['passages']:,} passages"
        if small
        else "along the line through two sizes, of which here is one"
    )
    return (
        "Full size: processor hours of this machine (one core) grow with the passages, those of searches with "
        "passages times queries, bytes with the passages, a fixed number of training steps with neither; peak memory "
        f"goes on {memory}. Peaks count pages of mapped files, which the system takes back when it needs them. The "
        "line says too much of BM25's index, since made-up words are two million in all: 0.56 million have come up at "
        "88,000 passages and 0.92 million at 200,000. By its parts below, texts included, it is 7 GB."
    )
