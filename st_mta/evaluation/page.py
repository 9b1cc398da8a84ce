"""The text of ``report.md``."""

from __future__ import annotations

from collections.abc import Iterator

from st_mta.evaluation.schema import Compute, Iteration, Report, WarmUp
from st_mta.evaluation.table import markdown_table
from st_mta.evaluation.wording import (
    NOTHING,
    duration,
    most_selected,
    significance_sentence,
    summary_table,
    verdict,
)


def page(report: Report, student_path: str) -> str:
    """The report as Markdown; plots are expected in ``plots/`` beside it.

    Args:
        report: A finished run's report.
        student_path: Where the student was saved, for the lines of Python that load it.
    """
    return "\n".join(part.rstrip("\n") + "\n" for part in _parts(report, student_path))


def _parts(report: Report, student_path: str) -> Iterator[str]:
    yield f"# Distillation on {report['collection']['name']}"
    yield f"**{verdict(report)}**"
    yield _data_sentence(report)
    yield markdown_table(_with_bold_student(summary_table(report)))
    yield f"Recovered: {report['recovered']:.1%} of the teacher. {significance_sentence(report['significance'])}"
    yield "![nDCG@10 on the development queries by iteration](plots/quality.png)"
    yield "## Use it"
    yield _loading(student_path)
    yield "## Iterations"
    if report["warm_up"] is not None:
        yield warm_up_sentence(report["warm_up"], report["development"].get("student_before"))
    yield markdown_table(iteration_rows(report))
    if any(entry["iteration"] == report["best_iteration"] for entry in report["iterations"]):
        yield "The iteration in bold was best on the development queries; its student is the one reported above."
    yield "![How often each assistant was selected, by iteration](plots/selection.png)"
    yield "## Compute"
    yield _reuse_table(report["compute"])
    yield from _time(report["compute"])
    yield "## Conditions"
    yield _conditions(report)
    if report["collection"]["notes"]:
        yield "## Notes"
        yield "\n".join(f"- {note}" for note in report["collection"]["notes"])


def _data_sentence(report: Report) -> str:
    collection = report["collection"]
    queries = ", ".join(f"{number:,} {split}" for split, number in collection["queries"].items())
    return (
        f"Measured on the {report['split']} queries of {collection['name']} "
        f"({collection['passages']:,} passages; queries: {queries})."
    )


def _with_bold_student(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [*rows[:-1], {column: f"**{value}**" for column, value in rows[-1].items()}]


def _loading(student_path: str) -> str:
    return (
        "```python\n"
        "from sentence_transformers import SentenceTransformer\n\n"
        f'student = SentenceTransformer("{student_path}")\n'
        'student.similarity(student.encode_query("a question"), student.encode_document(["a passage", "another"]))\n'
        "```"
    )


def warm_up_sentence(warm_up: WarmUp, before: float | None) -> str:
    """What the warm-up did to the student."""
    start = "" if before is None else f" from {before:.3f}"
    return (
        f"Warm-up: {warm_up['steps']:,} steps of regression to the embeddings of {warm_up['regressed_to']} in "
        f"{duration(warm_up['seconds'])} took the student{start} to {warm_up['dev_ndcg@10']:.3f} nDCG@10 on dev."
    )


def iteration_rows(report: Report) -> list[dict[str, str]]:
    """One printable row per iteration, the best one in bold."""
    return [_iteration_row(entry, report["best_iteration"]) for entry in report["iterations"]]


def _iteration_row(entry: Iteration, best: int) -> dict[str, str]:
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
    return {column: f"**{value}**" for column, value in row.items()} if entry["iteration"] == best else row


def _reuse_table(compute: Compute) -> str:
    lines = [
        ("Pairs scored", compute["pairs_scored"], compute["pairs_reused"]),
        ("Passages encoded", compute["passages_encoded"], compute["passages_reused"]),
        ("Queries encoded", compute["queries_encoded"], compute["queries_reused"]),
    ]
    return markdown_table(
        [
            {"Work": work, "Done": f"{done:,}", "Taken from the store": f"{reused:,}", "Saved": _share(reused, done)}
            for work, done, reused in lines
        ]
    )


def _share(reused: int, done: int) -> str:
    return f"{reused / (reused + done):.0%}" if reused + done else NOTHING


def _time(compute: Compute) -> Iterator[str]:
    yield (
        f"The student trained for {compute['training_steps']:,} steps on {compute['training_sequences']:,} texts. "
        f"Everything took {duration(compute['total_seconds'])}."
    )
    seconds: dict[str, float] = {}
    for station, spent in compute["seconds"].items():  # "iteration-00/mine" counts as "mine"
        kind = station.rsplit("/", 1)[-1]
        seconds[kind] = seconds.get(kind, 0.0) + spent
    total = compute["total_seconds"] or 1.0
    yield markdown_table(
        [
            {"Station": kind, "Time": duration(spent), "Share": f"{spent / total:.0%}"}
            for kind, spent in sorted(seconds.items(), key=lambda item: -item[1])
        ]
    )


def _conditions(report: Report) -> str:
    versions = ", ".join(f"{package} {version}" for package, version in report["versions"].items())
    return "\n".join(
        [
            f"- Device {report['device']}, precision {report['precision']}, seed {report['seed']}",
            f"- Collection fingerprint `{report['collection']['fingerprint']}`",
            f"- {versions}",
        ]
    )
