"""The two pictures of a distillation."""

from __future__ import annotations

from st_mta.evaluation.quality_plot import plot_quality
from st_mta.evaluation.selection_plot import plot_selection

__all__ = ["plot_quality", "plot_selection"]
