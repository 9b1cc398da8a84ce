"""The result as Markdown tables."""

from __future__ import annotations

from statistics import mean, stdev
from typing import Any

from benchmarks.speed.configuration import OURS, SIDES
from benchmarks.speed.summary import GOALS
from st_mta.report import markdown_table


def page(result: dict[str, Any]) -> str:
    """Times per number of threads, then memory and the students."""
    parts = [_intro(result)]
    for threads, measured in result["threads"].items():
        parts += [f"On {threads} thread{'s' if threads != '1' else ''}:", markdown_table(_times(measured)).rstrip()]
    parts += ["Peak memory (and how much the station added), and nDCG@10 of the trained students on test:"]
    return "\n\n".join([*parts, markdown_table(_arms(result))])


def _intro(result: dict[str, Any]) -> str:
    where = result["environment"]
    machine = f"{where['device']} ({where['cores']} cores; {', '.join(where['instructions'])})"
    return (
        f"{machine}, {result['queries']} queries, medians of {result['rounds']} rounds: seconds on the clock "
        "(seconds of all cores). Ratios are to the stock pipeline in the precision in which it is quicker, station by "
        "station."
    )


def _times(measured: dict[str, Any]) -> list[dict[str, str]]:
    seconds, ratios = measured["seconds"], measured["ratio"]
    rows = []
    for station in next(iter(ratios.values())):
        row = {"Station": station}
        for side in SIDES:
            row |= {f"{side} {name}": _both(each[station], 1) for name, each in seconds[side].items()}
        for name, each in ratios.items():
            row |= {f"Ratio {name}": _both(each[station], 3)}
            row |= {f"Goal {name}": f"{goal:.2f}" if (goal := GOALS[name].get(station)) else "–"}
        rows.append(row)
    return rows


def _both(clocks: dict[str, float], digits: int) -> str:
    return f"{clocks['wall']:.{digits}f} ({clocks['cpu']:.{digits}f})"


def _arms(result: dict[str, Any]) -> list[dict[str, str]]:
    rows = []
    for side in SIDES:
        for name, quality in result["ndcg@10"][side].items():
            row = {"Side": f"{side} {name}"}
            row |= {f"{station}, MiB": _bytes(each["bytes"][side][name]) for station, each in result["memory"].items()}
            spread = f" ± {stdev(quality):.4f}" if len(quality) > 1 else ""
            rows.append(row | {"nDCG@10": f"{mean(quality):.4f}{spread}"})
    return rows


def _bytes(measured: dict[str, int]) -> str:
    return f"{measured['peak'] / 2**20:.0f} ({(measured['peak'] - measured['before']) / 2**20:.0f})"


def headline(result: dict[str, Any]) -> str:
    """Ratios of st_mta, a line per number of threads and precision."""
    return "\n".join(
        f"{OURS} {name}, {threads} thread(s): "
        + ", ".join(f"{key} {value['wall']:.2f}" for key, value in each.items())
        for threads, measured in result["threads"].items()
        for name, each in measured["ratio"].items()
    )
