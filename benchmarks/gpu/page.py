"""The results of all stages in one JSON file and one page of tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.record import Content, write
from benchmarks.gpu.stages import STAGES
from st_mta.atomic import atomic_write_text

JSON, PAGE = "result.json", "result.md"
LAST_LINES, LONGEST = 6, 400
"""Of a traceback, and characters of a finding; the JSON has all of both."""


def write_results(folder: Path, contents: Sequence[Content], dry: bool) -> None:
    """Writes ``result.json`` and ``result.md``."""
    write(folder / JSON, {"dry": dry, "stages": {content["stage"]: content for content in contents}})
    atomic_write_text(folder / PAGE, page(contents, dry))


def page(contents: Sequence[Content], dry: bool) -> str:
    """Markdown: which stages ended how, then the findings of each."""
    head = "# On a GPU\n\n" + ("Toy sizes on a CPU: nothing here says anything about speed.\n\n" if dry else "")
    overview = [
        {"stage": c["stage"], "ended": c["status"], "seconds": c["seconds"], "errors": ", ".join(c["errors"]) or "–"}
        for c in contents
    ]
    return "\n".join([head + table(overview), *(section(content) for content in contents)]).rstrip() + "\n"


def section(content: Content) -> str:
    """One stage: its plain findings, its tables, and the ends of its tracebacks."""
    found = content["found"]
    tables = {name: rows for name, rows in found.items() if _is_table(rows)}
    plain = [f"- {name}: {_cell(value)[:LONGEST]}" for name, value in found.items() if name not in tables]
    errors = [f"Failed in {part}:\n\n{_last(text)}\n" for part, text in content["errors"].items()]
    shown = [f"### {name}\n\n{table(rows)}" for name, rows in tables.items()]
    title = f"## {content['stage']}: {STAGES[content['stage']].what}\n"
    return "\n".join([title, *(["\n".join(plain) + "\n"] if plain else []), *shown, *errors])


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows with the columns of all of them, in the order in which they first appear."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(name)) for name in columns] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(each)}" for name, each in value.items())
    return str(value).replace("|", "/").replace("\n", " ")


def _last(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-LAST_LINES:])
