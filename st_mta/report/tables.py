"""The rows of a report's tables, and rows as tables: Markdown for files, rich for the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from st_mta.report.schema import Compute, Iteration, IterationScores, ModelEntry, Report, ServingEntry
from st_mta.report.wording import NOTHING, count, duration, measure, most_selected, rate

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
    """The same rows as a rich table, for ``rich.print``; names in it are no markup."""
    heading = None if title is None else Text(visible(title), style="table.title")
    table = Table(title=heading, title_justify="left", header_style="bold")
    for column in rows[0] if rows else ():
        table.add_column(column, justify="right" if is_numeric(rows, column) else "left")
    for row in rows:
        table.add_row(*(Text(visible(str(value)).replace("**", "")) for value in row.values()))
    return table


def visible(text: str) -> str:
    """The text with characters that a terminal would obey (escapes, changes of direction) written out."""
    return "".join(
        sign if sign.isprintable() or sign == "\n" else sign.encode("unicode_escape").decode() for sign in text
    )


def is_numeric(rows: Sequence[Row], column: str) -> bool:
    """Whether a column holds numbers as people write them ("1,234", "0.43", "22.7M", "–")."""
    cells = [str(row[column]).strip("*") for row in rows]
    return all(cell == "–" or cell[:1].isdigit() or cell[:1] in "+-−." and cell[1:2].isdigit() for cell in cells)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def summary_table(report: Report) -> list[dict[str, str]]:
    """One row per system, from teacher to student, with printable values."""
    systems = [
        ("teacher", report["teacher"]),
        *(("assistant", assistant) for assistant in report["assistants"]),
        ("student before", report["student_before"]),
        ("student", report["student"]),
    ]
    return [_row(role, entry) for role, entry in systems]


def _row(role: str, entry: ModelEntry) -> dict[str, str]:
    name = entry["name"] + (f", re-ranks {entry['reranks']}" if entry["reranks"] else "")
    return {
        "Role": role,
        "Model": name,
        "Layers": NOTHING if entry["layers"] is None else str(entry["layers"]),
        "Parameters": count(entry["parameters"]),
        "nDCG@10": measure(entry.get("ndcg@10")),
        "MRR@10": measure(entry.get("mrr@10")),
        "Recall@100": measure(entry.get("recall@100")),
        "queries/s": rate(entry["queries_per_second"]),
    }


def iteration_rows(report: Report) -> list[dict[str, str]]:
    """One printable row per iteration, the best one in bold."""
    return [
        bold(row) if entry["iteration"] == report["best_iteration"] else row
        for entry, row in zip(report["iterations"], plain_iteration_rows(report))
    ]


def plain_iteration_rows(report: Report) -> list[dict[str, str]]:
    """One printable row per iteration; the filter's rate where any iteration has one."""
    filtered = any("filter_rate" in entry for entry in report["iterations"])
    return [_iteration_row(entry) | (_filtered(entry) if filtered else {}) for entry in report["iterations"]]


def _iteration_row(entry: Iteration) -> dict[str, str]:
    loss = entry["loss"]
    return {
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


def _filtered(entry: Iteration) -> dict[str, str]:
    return {"Filtered": f"{entry['filter_rate']:.1%}" if "filter_rate" in entry else NOTHING}


def bold(row: dict[str, str]) -> dict[str, str]:
    """A row set in bold, in Markdown."""
    return {column: f"**{value}**" for column, value in row.items()}


def serving_rows(entries: Sequence[ServingEntry]) -> list[dict[str, str]]:
    """One printable row per way of serving."""
    return [
        {
            "Serving": entry["name"],
            "Queries by": entry["queries"],
            "Passages by": entry["passages"],
            "Dimensions": f"{entry['dimension']:,}",
            "Precision": entry["precision"],
            "Bytes per passage": f"{entry['bytes_per_passage']:,.0f}",
            "nDCG@10": f"{entry['ndcg@10']:.3f}",
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
    """Scoring and encoding, done and spared."""
    lines = [
        ("Pairs scored", compute["pairs_scored"], compute["pairs_reused"]),
        ("Passages encoded", compute["passages_encoded"], compute["passages_reused"]),
        ("Queries encoded", compute["queries_encoded"], compute["queries_reused"]),
    ]
    return [
        {"Work": work, "Done": f"{done:,}", "Taken from the store": f"{reused:,}", "Saved": _share(reused, done)}
        for work, done, reused in lines
    ]


def _share(reused: int, done: int) -> str:
    return f"{reused / (reused + done):.0%}" if reused + done else NOTHING


def station_seconds(compute: Compute) -> list[tuple[str, float]]:
    """Seconds by kind of station, the longest first ("iteration-00/mine" counts as "mine")."""
    seconds: dict[str, float] = {}
    for station, spent in compute["seconds"].items():
        kind = station.rsplit("/", 1)[-1]
        seconds[kind] = seconds.get(kind, 0.0) + spent
    return sorted(seconds.items(), key=lambda item: -item[1])


def station_rows(compute: Compute) -> list[dict[str, str]]:
    """Time and share of every kind of station."""
    total = compute["total_seconds"] or 1.0
    return [
        {"Station": kind, "Time": duration(spent), "Share": f"{spent / total:.0%}"}
        for kind, spent in station_seconds(compute)
    ]
