"""Names and texts as SQL writes them."""

from __future__ import annotations


def sql_name(name: object) -> str:
    """A column's name."""
    return '"' + str(name).replace('"', '""') + '"'


def sql_text(text: object) -> str:
    """A text, or the name of a file."""
    return "'" + str(text).replace("'", "''") + "'"
