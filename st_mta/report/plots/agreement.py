"""Assistants beside their teacher: how close they stand to it, and how well they rank."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from st_mta.report.plots.style import (
    BLUE,
    FAINT,
    INK,
    LABEL_SIZE,
    ORANGE,
    SMALL_SIZE,
    SOFT,
    canvas,
    save,
    shortened,
    title,
)

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
    figure, axes = canvas(width=8.4, height=4.8, margins=(0.8, 0.4, 0.7, 0.6))
    axes.grid(color=FAINT, linewidth=0.6)
    axes.axhline(teacher, color=INK, linewidth=1.2)
    axes.annotate("teacher", (1, teacher), xycoords=("axes fraction", "data"), xytext=(-4, 4), ha="right",
                  textcoords="offset points", color=INK, fontsize=LABEL_SIZE)  # fmt: skip
    for fused, colour, word in ((False, BLUE, "assistant"), (True, ORANGE, "fusion")):
        points = [(kl, ndcg) for _, kl, ndcg, is_fusion in members if is_fusion == fused]
        if points:
            across, up = zip(*points)
            axes.scatter(across, up, color=colour, s=42, label=word, zorder=3)
    low, high = min([0.0, *(kl for _, kl, _, _ in members)]), max([0.1, *(kl for _, kl, _, _ in members)])
    axes.set_xlim(low, high * 1.25)
    _label(axes, members)
    axes.set_xlabel("KL(teacher || member), nats", color=SOFT, fontsize=LABEL_SIZE)
    axes.set_ylabel("nDCG@10 of the same candidates", color=SOFT, fontsize=LABEL_SIZE)
    title(axes, "Who agrees with the teacher")
    if members:
        axes.legend(frameon=False, fontsize=LABEL_SIZE, loc="lower right")
    save(figure, path)


def _label(axes: Axes, members: Sequence[tuple[str, float, float, bool]]) -> None:
    """Names right of their points, left out where one would cover another."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    taken: list[tuple[float, float]] = []
    for name, kl, ndcg, _ in sorted(members, key=lambda member: (member[3], member[1]))[:MOST_LABELS]:
        at = (kl - left) / (right - left), (ndcg - bottom) / (top - bottom)
        if any(abs(at[0] - x) < 8 * NEAR and abs(at[1] - y) < NEAR for x, y in taken):
            continue
        taken.append(at)
        axes.annotate(shortened(name), (kl, ndcg), xytext=(7, -3), textcoords="offset points", color=INK,
                      fontsize=SMALL_SIZE)  # fmt: skip
