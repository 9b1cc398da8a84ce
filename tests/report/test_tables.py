from __future__ import annotations

from io import StringIO

from rich.console import Console

from st_mta.report import console_table, markdown_table

ROWS = [
    {"Model": "a[b]|c", "Quality": "0.431", "Size": "22.7M", "Change": "+0.1"},
    {"Model": "**d**", "Quality": "–", "Size": "**1,234**", "Change": "-2"},
]


def test_markdown():
    assert markdown_table(ROWS) == (
        "| Model | Quality | Size | Change |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| a[b]\\|c | 0.431 | 22.7M | +0.1 |\n"
        "| **d** | – | **1,234** | -2 |\n"
    )
    assert markdown_table([]) == ""


def test_console():
    output = StringIO()
    Console(file=output, width=80).print(console_table(ROWS, title="Systems"))
    text = output.getvalue()
    for expected in ("Systems", "Quality", "a[b]|c", "1,234"):
        assert expected in text
    assert "**" not in text
    assert [column.justify for column in console_table(ROWS).columns] == ["left", "right", "right", "right"]
    assert console_table([]).row_count == 0


def test_names_are_no_markup_and_no_commands_for_the_terminal():
    hostile = "a[/x][bold]b\x1b[31m\u202e:smile:\ud800 c\\[d]"
    output = StringIO()
    Console(file=output, width=120).print(console_table([{"Model": hostile}], title=hostile))
    text = output.getvalue()
    assert "\x1b" not in text and "\u202e" not in text
    assert text.count(r"a[/x][bold]b\x1b[31m\u202e:smile:\ud800 c\[d]") == 2
