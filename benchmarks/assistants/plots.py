"""The arms side by side, and st_mta against each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.assistants.summary import OURS
from st_mta.report.plots.style import BLUE, FAINT, INK, LABEL_SIZE, ORANGE, SOFT, canvas, save, title


def plot_arms(result: dict[str, Any], folder: Path, ours: str = OURS) -> None:
    """One plot per collection: every arm's seeds as points, the student at the start and the teacher as lines."""
    for name in next(iter(result["arms"].values())):
        arms = list(result["arms"])
        figure, axes = canvas(width=8.4, height=0.36 * len(arms) + 1.5, margins=(1.9, 0.4, 0.6, 0.6))
        axes.grid(axis="x", color=FAINT, linewidth=0.6)
        for place, arm in enumerate(reversed(arms)):
            values = [seed["ndcg@10"] for seed in result["arms"][arm][name].values()]
            colour = ORANGE if arm == ours else BLUE
            axes.scatter(values, [place] * len(values), color=colour, s=26, zorder=3)
            axes.plot([sum(values) / len(values)] * 2, [place - 0.3, place + 0.3], color=colour, linewidth=2.2)
        start = result["collections"].get(name, {}).get("start", {}).get("ndcg@10")
        if start is not None:
            axes.axvline(start, color=SOFT, linewidth=1, linestyle="--")
            axes.annotate("after the warm-up", (start, len(arms) - 0.45), color=SOFT, fontsize=LABEL_SIZE, ha="center")
        axes.set_yticks(range(len(arms)), list(reversed(arms)), color=INK)
        axes.set_xlabel("nDCG@10, test; a point per seed, a bar at their mean", color=SOFT, fontsize=LABEL_SIZE)
        title(axes, name)
        save(figure, folder / f"{name}.png")


def plot_differences(
    result: dict[str, Any],
    path: Path,
    heading: str = "st_mta minus each arm (right of zero: st_mta is better)",
) -> None:
    """Differences of arms, as the heading says (st_mta minus every other), pooled over queries, with 95% intervals."""
    tested = result["comparisons"]
    if not tested:
        return
    figure, axes = canvas(width=8.4, height=0.36 * len(tested) + 1.5, margins=(1.9, 0.4, 0.6, 0.6))
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.axvline(0, color=INK, linewidth=1)
    for place, arm in enumerate(reversed(list(tested))):
        pooled = tested[arm]["pooled"]
        axes.plot(pooled["confidence_interval"], [place, place], color=BLUE, linewidth=2)
        axes.scatter([pooled["difference"]], [place], color=BLUE, s=36, zorder=3)
    axes.set_yticks(range(len(tested)), list(reversed(list(tested))), color=INK)
    axes.set_xlabel("difference in nDCG@10, 95% interval over queries", color=SOFT, fontsize=LABEL_SIZE)
    title(axes, heading)
    save(figure, path)
