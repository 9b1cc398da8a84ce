"""Writes a finished run's report: JSON for programs, pages with plots for people."""

from __future__ import annotations

import json
from pathlib import Path

from st_mta.atomic import atomic_write_text
from st_mta.report.pages import html_page, markdown_page
from st_mta.report.plots import drawn
from st_mta.report.plots.style import save
from st_mta.report.schema import Report
from st_mta.types import Collection


def write_report(
    folder: str | Path,
    report: Report,
    *,
    student_path: str | None = None,
    collection: Collection | None = None,
    remark: str = "",
    html_path: str | Path | None = None,
) -> None:
    """Writes ``report.json``, ``report.md``, ``report.html`` and ``plots/*.png``.

    Args:
        folder: The run's output folder.
        report: What ``schema.Report`` describes.
        student_path: How the page loads the student; by default the sub-folder "student" of the folder.
        collection: For the texts of the largest wins and losses; without it ``report.html`` shows ids.
        remark: What its reader should know of missing texts or comparisons.
        html_path: Another place for ``report.html``.
    """
    folder = Path(folder)
    student_path = student_path or (folder / "student").as_posix()
    text = json.dumps(report, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    report = json.loads(text)  # so that the pages are the same whoever writes them, and whenever
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    for name, figure, _ in drawn(report):
        if name != "filter":  # its numbers are in the table of iterations
            save(figure, folder / "plots" / f"{name}.png")
    atomic_write_text(folder / "report.md", markdown_page(report, student_path))
    html = html_page(report, student_path, collection, remark)
    atomic_write_text(Path(html_path or folder / "report.html"), html)
    # Last, so that a report.json means that everything beside it is there.
    atomic_write_text(folder / "report.json", text)
