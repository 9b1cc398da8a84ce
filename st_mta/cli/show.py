"""What a finished run prints."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from st_mta.report import console_table, summary_table, verdict
from st_mta.report.schema import Report


def wide_console() -> Console:
    """A console that does not squeeze tables where the output goes into a file or a narrow window."""
    return Console(width=max(Console().width, 118), soft_wrap=True, highlight=False)


def show(report: Report, output_dir: str) -> None:
    """The table, the verdict, and how to load the student."""
    folder = Path(output_dir)
    console = wide_console()
    console.print(
        console_table(summary_table(report), title=f"{report['collection']['name']}, {report['split']} split")
    )
    console.print(verdict(report))
    console.print(f"Student {folder / 'student'}, report {folder / 'report.html'}, plots {folder / 'plots'}\n")
    console.print(
        "from sentence_transformers import SentenceTransformer\n"
        f'student = SentenceTransformer("{folder / "student"}")\n'
        'print(student.similarity(student.encode_query("open a file"), '
        'student.encode_document(["Return a file object."])))',
        markup=False,
    )
