"""Assistants beside their teacher: how close they stand to it, and how well they rank."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from st_mta.report.plots import style
from st_mta.report.plots.style import BLUE, INK, LABEL_SIZE, ORANGE, SMALL_SIZE

MOST_LABELS = 12
"""Members with a name at their point, the closest to the teacher first."""
NEAR = 0.04  # of the axes: labels closer than this in both directions would overlap


def plot_agreement(members: Sequence[tuple[str, float, float, bool]], teacher: float, path: str | Path) -> None:
    """KL to the teacher against nDCG@10: what lies left is close to the teacher, what lies high ranks well.

    Args:
        members: Name, KL in nats, nDCG@10, and whether it is a fusion.
        teacher: The teacher's nDCG@10.
        path: The PNG file to write.
    """
    figure, axes = style.canvas(width=8.4, height=4.8, margins=(0.8, 0.4, 0.7, 0.6))
    style.grid(axes, "both")
    axes.axhline(teacher, color=INK, linewidth=1.2)
    axes.annotate("teacher", (1, teacher), xycoords=("axes fraction", "data"), xytext=(-4, 4), ha="right",
                  textcoords="offset points", color=INK, fontsize=LABEL_SIZE)  # fmt: skip
    for fused, colour, word in ((False, BLUE, "assistant"), (True, ORANGE, "fusion")):
        points = [(kl, ndcg) for _, kl, ndcg, is_fusion in members if is_fusion == fused]
        if points:
            across, up = zip(*points)
            axes.scatter(across, up, color=colour, s=42, label=word, zorder=3)
    distances = [kl for _, kl, _, _ in members]
    axes.set_xlim(min([0.0, *distances]), 1.25 * max([0.1, *distances]))
    _label(axes, members)
    style.axis_labels(axes, "KL(teacher || member), nats", "nDCG@10 of the same candidates")
    style.title(axes, "Who agrees with the teacher")
    if members:
        axes.legend(frameon=False, fontsize=LABEL_SIZE, loc="lower right")
    style.save(figure, path)


def _label(axes: Axes, members: Sequence[tuple[str, float, float, bool]]) -> None:
    """Names right of their points, left out where one would cover another."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    taken: list[tuple[float, float]] = []
    for name, kl, ndcg, _ in sorted(members, key=lambda member: (member[3], member[1]))[:MOST_LABELS]:
        at = (kl - left) / (right - left), (ndcg - bottom) / (top - bottom)
        if not any(abs(at[0] - x) < 8 * NEAR and abs(at[1] - y) < NEAR for x, y in taken):
            taken.append(at)
            axes.annotate(style.shortened(name), (kl, ndcg), xytext=(7, -3), textcoords="offset points", color=INK,
                          fontsize=SMALL_SIZE)  # fmt: skip
