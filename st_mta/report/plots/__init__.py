"""The two pictures of a distillation."""

from __future__ import annotations

from st_mta.report.plots.quality import plot_quality
from st_mta.report.plots.selection import plot_selection

__all__ = ["plot_quality", "plot_selection"]
