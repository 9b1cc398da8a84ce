"""Writes a finished run's report: JSON for programs, a page with plots for people."""

from __future__ import annotations

import json
from pathlib import Path

from st_mta.evaluation.page import page
from st_mta.evaluation.plots import plot_quality, plot_selection
from st_mta.evaluation.schema import Report
from st_mta.stores.atomic import atomic_write_text


def write_report(folder: str | Path, report: Report, *, student_path: str | None = None) -> None:
    """Writes ``report.json``, ``report.md``, ``plots/quality.png`` and ``plots/selection.png``.

    Args:
        folder: The run's output folder.
        report: What ``schema.Report`` describes.
        student_path: How the page loads the student; by default the sub-folder "student" of the folder.
    """
    folder = Path(folder)
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    plot_quality(report, folder / "plots" / "quality.png")
    plot_selection(report, folder / "plots" / "selection.png")
    atomic_write_text(folder / "report.md", page(report, student_path or (folder / "student").as_posix()))
    # Last, so that a report.json means that everything beside it is there.
    atomic_write_text(folder / "report.json", json.dumps(report, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
