"""What the plots have in common: colours, canvas and saving."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from st_mta.atomic import atomic_path
from st_mta.report.schema import Iteration
from st_mta.visible import visible

# Colours of Okabe and Ito, told apart with every kind of colour vision.
BLUE, ORANGE, GREEN, RED, SKY, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"
INK, SOFT, FAINT = "#1A1A1A", "#6B6B6B", "#DDDDDD"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, "#7A7A7A", "#C9C9C9")
LIGHT = {ORANGE, SKY, PURPLE, "#C9C9C9"}  # dark text on these, white on the others
ON_LIGHT = "#111111"  # unlike INK it stays dark on a dark page
TITLE_SIZE, LABEL_SIZE, SMALL_SIZE = 12, 10, 9
PIXELS_PER_INCH = 200  # twice the usual 100, for sharp text on today's screens


def figure_of(width: float, height: float) -> Figure:
    """An empty white figure, in inches; pyplot's global state stays as the user left it."""
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def bare(axes: Axes) -> Axes:
    """The axes with nothing but their bottom line and labels."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=SOFT, labelsize=LABEL_SIZE)
    return axes


def canvas(width: float, height: float, margins: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """A figure with bare axes.

    Args:
        width: In inches.
        height: In inches.
        margins: Left, right, bottom and top, in inches.
    """
    left, right, bottom, top = margins
    figure = figure_of(width, height)
    box = (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
    return figure, bare(figure.add_axes(box))


def title(axes: Axes, text: str) -> None:
    """A title at the left edge of the axes."""
    axes.set_title(text, loc="left", fontsize=TITLE_SIZE, color=INK, pad=12)


def grid(axes: Axes, axis: Literal["both", "x", "y"] = "y") -> None:
    """Faint lines behind the data."""
    axes.grid(axis=axis, color=FAINT, linewidth=0.6)


def axis_labels(axes: Axes, x: str = "", y: str = "") -> None:
    """What the axes measure."""
    axes.set_xlabel(x, color=SOFT, fontsize=LABEL_SIZE)
    axes.set_ylabel(y, color=SOFT, fontsize=LABEL_SIZE)


def rows_of(axes: Axes, iterations: Sequence[Iteration]) -> None:
    """Turns the axes into one row per iteration, the first on top, with nothing below them."""
    axes.set_yticks(range(len(iterations)), [f"iteration {entry['iteration']}" for entry in iterations])
    axes.set_ylim(len(iterations) - 0.5, -0.5)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def legend(figure: Figure, handles: Sequence[Any], left: float, **layout: Any) -> None:
    """A legend at the bottom of the figure, from ``left`` (a share of its width) on."""
    figure.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(left, 0.0), frameon=False, fontsize=SMALL_SIZE,
        labelcolor=INK, handleheight=0.9, borderpad=0.0, **layout,
    )  # fmt: skip


def shortened(name: str, limit: int = 24) -> str:
    """The last part of every path or Hub id in a (fused) name, cut to the limit; its dollars begin no formula.

    Control characters are spelled out: an SVG cannot hold them.
    """
    name = visible(name)
    name = "+".join(part.rstrip("/").rsplit("/", 1)[-1] for part in name.split("+"))
    return (name if len(name) <= limit else name[: limit - 1] + "…").replace("$", r"\$")


def save(figure: Figure, path: str | Path) -> None:
    """Writes the figure as PNG; it appears whole or not at all."""
    with atomic_path(Path(path)) as temporary, open(temporary, "wb") as file:
        figure.savefig(file, format="png", dpi=PIXELS_PER_INCH)
