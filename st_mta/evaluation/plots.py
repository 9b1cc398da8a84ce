"""The two pictures of a distillation."""

from __future__ import annotations

from st_mta.evaluation.plot_quality import plot_quality
from st_mta.evaluation.plot_selection import plot_selection

__all__ = ["plot_quality", "plot_selection"]
