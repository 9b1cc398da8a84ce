"""Rows as a table: Markdown for files, rich for the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

Row = Mapping[str, object]


def markdown_table(rows: Sequence[Row]) -> str:
    """A Markdown table; the first row's keys are the columns, numbers and dashes are set to the right.

    Args:
        rows: Dictionaries with the same keys; values are printed with ``str``.
    """
    if not rows:
        return ""
    columns = list(rows[0])
    rulers = ["---:" if is_numeric(rows, column) else "---" for column in columns]
    lines = [columns, rulers, *([str(row[column]) for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines) + "\n"


def console_table(rows: Sequence[Row], title: str | None = None) -> Table:
    """The same rows as a rich table, for ``rich.print``."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in rows[0] if rows else ():
        table.add_column(column, justify="right" if is_numeric(rows, column) else "left")
    for row in rows:
        table.add_row(*(_without_markup(str(value)) for value in row.values()))
    return table


def is_numeric(rows: Sequence[Row], column: str) -> bool:
    """Whether a column holds numbers as people write them ("1,234", "0.43", "22.7M", "–")."""
    cells = [str(row[column]).strip("*") for row in rows]
    return all(cell == "–" or cell[:1].isdigit() or cell[:1] in "+-−." and cell[1:2].isdigit() for cell in cells)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _without_markup(cell: str) -> str:
    """Model names may hold square brackets, and cells Markdown's bold."""
    return cell.replace("**", "").replace("[", "\\[")
