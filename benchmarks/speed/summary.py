"""Medians over the rounds, and what st_mta takes of the stock pipeline in its best precision."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from benchmarks.speed.configuration import ITERATION, OURS, SIDES, STATIONS, STOCK, TIMES
from benchmarks.speed.processes import Entry

CLOCKS = ("wall", "cpu")
WHOLE = "iteration"
GOALS: dict[str, dict[str, float]] = {
    "bf16": {"score": 0.30, "encode": 0.30, "train": 0.30, WHOLE: 0.33},
    "fp32": {"train": 0.45},
}
"""The share of the stock pipeline's time that st_mta may take, by its own precision."""

Seconds = dict[str, dict[str, float]]
"""Station -> clock -> seconds."""


def summary(entries: Sequence[Entry]) -> dict[str, Any]:
    """What stands in ``result.json``, but for the environment.

    By threads: ``seconds`` (side, precision, station or "iteration", clock), ``stock_in_best_precision``, ``ratio``
    to it (precision of st_mta, station, clock), and ``ratio_in_same_precision``. By side and precision: ``ndcg@10``
    of the students by seed (on the most threads), and ``computed_in``. By station, side and precision: ``memory``,
    and its ratio in the same precision.
    """
    timed = [entry for entry in entries if entry["configuration"]["measure"] == TIMES]
    by_threads = _grouped(timed, "threads")
    return {
        "queries": entries[0]["configuration"]["queries"],
        "rounds": len(_grouped(timed, "seed")),
        "threads": {str(threads): of_threads(of_these) for threads, of_these in sorted(by_threads.items())},
        "ndcg@10": _by_arm(by_threads[max(by_threads)], lambda arm: [entry["measured"]["ndcg@10"] for entry in arm]),
        "computed_in": _by_arm(timed, lambda arm: arm[0]["measured"]["computed_in"]),
        "memory": _memory([entry for entry in entries if entry["configuration"]["measure"] != TIMES]),
        "goals": GOALS,
    }


def of_threads(entries: Sequence[Entry]) -> dict[str, Any]:
    """Seconds and ratios of one number of threads."""
    seconds = _by_arm(entries, _medians)
    best, chosen = _quicker(seconds[STOCK])
    same = {precision: _ratios(each, seconds[STOCK][precision]) for precision, each in seconds[OURS].items()}
    return {
        "seconds": seconds,
        "stock_in_best_precision": chosen,
        "ratio": {precision: _ratios(each, best) for precision, each in seconds[OURS].items()},
        "ratio_in_same_precision": same,
    }


def _medians(entries: Sequence[Entry]) -> Seconds:
    """Over the rounds; an iteration is the sum of its stations' medians."""
    rounds = [entry["measured"]["seconds"] for entry in entries]
    return _with_whole(
        {station: {clock: median(each[station][clock] for each in rounds) for clock in CLOCKS} for station in STATIONS}
    )


def _with_whole(seconds: Seconds) -> Seconds:
    return {**seconds, WHOLE: {clock: sum(seconds[station][clock] for station in ITERATION) for clock in CLOCKS}}


def _quicker(stock: dict[str, Seconds]) -> tuple[Seconds, dict[str, str]]:
    """Each station in the precision in which it is quickest on the clock, and which that is."""
    chosen = {
        station: min(stock, key=lambda precision: stock[precision][station]["wall"])  # noqa: B023
        for station in STATIONS
    }
    return _with_whole({station: stock[precision][station] for station, precision in chosen.items()}), chosen


def _ratios(seconds: Seconds, stock: Seconds) -> Seconds:
    return {
        station: {clock: round(seconds[station][clock] / stock[station][clock], 3) for clock in CLOCKS}
        for station in seconds
    }


def _memory(entries: Sequence[Entry]) -> dict[str, Any]:
    """Station -> bytes by side and precision, and the ratio of the peaks by precision."""
    found = {}
    for station, of_station in _grouped(entries, "measure").items():
        taken = _by_arm(of_station, lambda arm: arm[0]["measured"])
        ratio = {name: round(each["peak"] / taken[STOCK][name]["peak"], 3) for name, each in taken[OURS].items()}
        found[station] = {"bytes": taken, "ratio_in_same_precision": ratio}
    return found


def _by_arm(entries: Sequence[Entry], of: Callable[[list[Entry]], Any]) -> dict[str, dict[str, Any]]:
    """Side -> precision -> what ``of`` makes of the entries, by seed."""
    by_side = _grouped(entries, "side")
    return {
        side: {
            precision: of(sorted(arm, key=lambda entry: int(entry["configuration"]["seed"])))
            for precision, arm in _grouped(by_side[side], "precision").items()
        }
        for side in SIDES
    }


def _grouped(entries: Sequence[Entry], key: str) -> dict[Any, list[Entry]]:
    found: dict[Any, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry["configuration"][key]].append(entry)
    return dict(found)
