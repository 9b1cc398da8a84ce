"""The rows of a report's tables, and rows as tables: Markdown for files, rich for the console."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from st_mta.report.schema import Compute, Iteration, IterationScores, ModelEntry, Report, ServingEntry
from st_mta.report.wording import NOTHING, count, duration, measure, most_selected, rate, recovered
from st_mta.visible import visible

Row = Mapping[str, object]
FILTERED_OR_RELABELLED = {"filter_rate": ("Filtered", "{:.1%}"), "relabelled_queries": ("Relabelled", "{:,}")}
"""What only some runs say of an iteration: the column's title, and how its value is printed."""


def markdown_table(rows: Sequence[Row], strong: int | None = None) -> str:
    """A Markdown table; the first row's keys are the columns, numbers and dashes are set to the right.

    Args:
        rows: Dictionaries with the same keys; values are printed with ``str``.
        strong: The row to set in bold, if any.
    """
    if not rows:
        return ""
    columns = list(rows[0])
    rulers = ["---:" if is_numeric(rows, column) else "---" for column in columns]
    marks = ["**" if number == strong else "" for number in range(len(rows))]
    cells = [[f"{mark}{row[column]}{mark}" for column in columns] for mark, row in zip(marks, rows)]
    return "\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in [columns, rulers, *cells]) + "\n"


def console_table(rows: Sequence[Row], title: str | None = None) -> Table:
    """The same rows as a rich table, for ``rich.print``; names in it are no markup."""
    heading = None if title is None else Text(visible(title), style="table.title")
    table = Table(title=heading, title_justify="left", header_style="bold")
    for column in rows[0] if rows else ():
        table.add_column(column, justify="right" if is_numeric(rows, column) else "left")
    for row in rows:
        table.add_row(*(Text(visible(str(value)).replace("**", "")) for value in row.values()))
    return table


def is_numeric(rows: Sequence[Row], column: str) -> bool:
    """Whether a column holds numbers as people write them ("1,234", "0.43", "22.7M", "–")."""
    cells = [str(row[column]).strip("*") for row in rows]
    return all(cell == "–" or cell[:1].isdigit() or cell[:1] in "+-−." and cell[1:2].isdigit() for cell in cells)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def summary_table(report: Report) -> list[dict[str, str]]:
    """One row per system, from teacher to student, with printable values."""
    return [_row(role, entry) for role, entry in systems(report)]


def systems(report: Report) -> list[tuple[str, ModelEntry]]:
    """Role and system, from teacher to student."""
    return [
        ("teacher", report["teacher"]),
        *(("assistant", assistant) for assistant in report["assistants"]),
        ("student before", report["student_before"]),
        ("student", report["student"]),
    ]


def _row(role: str, entry: ModelEntry) -> dict[str, str]:
    return {
        "Role": role,
        "Model": entry["name"] + (f", re-ranks {entry['reranks']}" if entry["reranks"] else ""),
        **size_of(entry),
        "nDCG@10": measure(entry.get("ndcg@10")),
        "MRR@10": measure(entry.get("mrr@10")),
        "Recall@100": measure(entry.get("recall@100")),
        "queries/s": rate(entry["queries_per_second"]),
    }


def size_of(entry: ModelEntry) -> dict[str, str]:
    """The columns of its size."""
    layers = NOTHING if entry["layers"] is None else str(entry["layers"])
    return {"Layers": layers, "Parameters": count(entry["parameters"])}


def iteration_rows(report: Report) -> list[dict[str, str]]:
    """One printable row per iteration; what was filtered, relabelled or taught where any iteration says so."""
    shown = [name for name in FILTERED_OR_RELABELLED if any(name in entry for entry in report["iterations"])]
    rows = [_iteration_row(entry, shown) for entry in report["iterations"]]
    if any("teacher" in entry for entry in report["iterations"]):
        rows = [{**row, "Teacher, dev": _taught(entry)} for row, entry in zip(rows, report["iterations"])]
    return rows


def _taught(entry: Iteration) -> str:
    """What the teacher had become before the iteration's scoring."""
    if (taught := entry.get("teacher")) is None:
        return "as it came"
    return f"{taught['dev_ndcg@10']:.3f}{'' if taught['kept'] else ', not taken'}"


def best_row(report: Report) -> int | None:
    """Which of these rows is the best iteration's, if any."""
    numbers = [entry["iteration"] for entry in report["iterations"]]
    return numbers.index(report["best_iteration"]) if report["best_iteration"] in numbers else None


def _iteration_row(entry: Iteration, shown: Sequence[str]) -> dict[str, str]:
    loss = entry["loss"]
    row = {
        "Iteration": str(entry["iteration"]),
        "Queries": f"{entry['queries']:,}",
        "Hard": f"{entry['hard_queries']:,}",
        "Candidates": f"{entry['candidates_per_query']:.1f}",
        "Loss": NOTHING if loss is None else f"{loss['first']:.3f} → {loss['last']:.3f}",
        "Selected most": most_selected(entry["selected"]),
        "Promoted over": entry["promoted"] or NOTHING,
        "Time": duration(sum(entry["seconds"].values())),
        "nDCG@10 (dev)": f"{entry['dev']['ndcg@10']:.3f}",
    }
    more: Mapping[str, Any] = entry
    columns = {name: FILTERED_OR_RELABELLED[name] for name in shown}
    return row | {
        title: form.format(more[name]) if more.get(name) is not None else NOTHING
        for name, (title, form) in columns.items()
    }


def serving_rows(entries: Sequence[ServingEntry]) -> list[dict[str, str]]:
    """One printable row per way of serving; with a column of speeds where the student has exits."""
    timed = any(entry.get("queries_per_second") is not None for entry in entries)
    return [
        {
            "Serving": entry["name"],
            "Queries by": entry["queries"],
            "Passages by": entry["passages"],
            "Dimensions": f"{entry['dimension']:,}",
            "Precision": entry["precision"],
            "Bytes per passage": f"{entry['bytes_per_passage']:,.0f}",
            "nDCG@10": f"{entry['ndcg@10']:.3f}",
            **({"Queries per second": rate(entry.get("queries_per_second"))} if timed else {}),
        }
        for entry in entries
    ]


def quantile_rows(iterations: Sequence[IterationScores]) -> list[dict[str, str]]:
    """One printable row per iteration and scorer: how its scores of the candidates lie."""
    return [
        {
            "Iteration": str(entry["iteration"]),
            "Scorer": distribution["scorer"],
            "Candidates": f"{sum(distribution['counts']):,}",
            "Relevant": f"{sum(distribution['positives']):,}",
            **{f"{float(part):.0%}": f"{value:.3f}" for part, value in distribution["quantiles"].items()},
        }
        for entry in iterations
        for distribution in entry["distributions"]
    ]


def reuse_rows(compute: Compute) -> list[dict[str, str]]:
    """Scoring, encoding and searching, done and spared."""
    lines = [
        ("Pairs scored", compute["pairs_scored"], compute["pairs_reused"]),
        ("Passages encoded", compute["passages_encoded"], compute["passages_reused"]),
        ("Queries encoded", compute["queries_encoded"], compute["queries_reused"]),
    ]
    if "queries_searched" in compute:
        lines.append(("Queries searched for", compute["queries_searched"], compute["searches_reused"]))
    return [
        {
            "Work": work,
            "Done": f"{done:,}",
            "Taken from the store": f"{reused:,}",
            "Saved": f"{reused / (reused + done):.0%}" if reused + done else NOTHING,
        }
        for work, done, reused in lines
    ]


def stage_rows(compute: Compute) -> list[dict[str, str]]:
    """Time and share of every kind of stage, the longest first ("iteration-00/mine" counts as "mine")."""
    seconds: dict[str, float] = defaultdict(float)
    for stage, spent in compute["seconds"].items():
        seconds[stage.rsplit("/", 1)[-1]] += spent
    total = compute["total_seconds"] or 1.0
    return [
        {"Stage": kind, "Time": duration(spent), "Share": f"{spent / total:.0%}"}
        for kind, spent in sorted(seconds.items(), key=lambda item: -item[1])
    ]


def headline(report: Report) -> list[tuple[str, str, str]]:
    """Quality, size and speed of the student: name, value, what it is compared with; unknown ones are left out."""
    teacher, before, student = report["teacher"], report["student_before"], report["student"]
    numbers = [
        ("of the teacher’s nDCG@10", recovered(report), f"teacher {measure(teacher.get('ndcg@10'))}"),
        ("nDCG@10 of the student", measure(student["ndcg@10"]), f"before {measure(before['ndcg@10'])}"),
    ]
    if student["parameters"]:
        remark = f"teacher {count(teacher['parameters'])}" if teacher["parameters"] else ""
        numbers.append(("parameters", count(student["parameters"]), remark))
    if student["queries_per_second"] is not None:
        remark = "" if teacher["queries_per_second"] is None else f"teacher {rate(teacher['queries_per_second'])}"
        numbers.append(("queries per second", rate(student["queries_per_second"]), remark))
    return numbers
