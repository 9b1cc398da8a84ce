"""What the commands print: texts as they are, whatever names hold."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from st_mta.report import console_table, summary_table
from st_mta.report.schema import Report
from st_mta.report.wording import CROSS_ENCODER, loading_code, notice, quality_sentence, warm_up_sentence
from st_mta.visible import visible


class PlainConsole(Console):
    """A console to which texts are no markup; control characters in them are shown, not obeyed."""

    def render_str(self, text: str, *, style: Any = "", justify: Any = None, overflow: Any = None, **_: Any) -> Text:
        """The text as it is, in this style."""
        return Text(visible(text), style=style, justify=justify, overflow=overflow)

    def on_broken_pipe(self) -> None:
        """Left to the command, which ends without a word."""
        raise BrokenPipeError


def wide_console() -> PlainConsole:
    """A console that does not squeeze tables where the output goes into a file or a narrow window."""
    return PlainConsole(width=max(Console().width, 118), soft_wrap=True, highlight=False)


def indented(lines: Iterable[str], by: str = "  ") -> str:
    """Paragraphs below a heading, in lines that a terminal shows whole."""
    width = min(Console().width, 118)
    return "\n".join(
        textwrap.fill(line, width, initial_indent=by, subsequent_indent=2 * by, break_on_hyphens=False)
        for line in lines
    )


def readable_size(num_bytes: float) -> str:
    """A number of bytes as people say it: "12 B", "4.3 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000 or unit == "GB":
            break
        num_bytes /= 1000
    return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"


def show(report: Report, output_dir: str) -> None:
    """What did not improve, the table, what the student reaches, and how to load it."""
    folder = Path(output_dir)
    console = wide_console()
    if said := notice(report):
        console.print(said)
    console.print(
        console_table(summary_table(report), title=f"{report['collection']['name']}, {report['split']} split")
    )
    console.print(quality_sentence(report))
    if report["warm_up"] is None and (said := warm_up_sentence(report)):
        console.print(said)
    console.print(f"Student {folder / 'student'}, report {folder / 'report.html'}, plots {folder / 'plots'}\n")
    if report["student"]["kind"] == CROSS_ENCODER:
        console.print(loading_code(str(folder / "student"), CROSS_ENCODER))
        return
    console.print(
        "from sentence_transformers import SentenceTransformer\n"
        f'student = SentenceTransformer("{folder / "student"}")\n'
        'print(student.similarity(student.encode_query("open a file"), '
        'student.encode_document(["Return a file object."])))'
    )
