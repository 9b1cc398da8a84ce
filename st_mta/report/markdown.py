"""The text of ``report.md``."""

from __future__ import annotations

from collections.abc import Iterator

from st_mta.report.ledger import reuse_rows, station_rows, training_sentence
from st_mta.report.schema import Iteration, Report, WarmUp
from st_mta.report.tables import markdown_table
from st_mta.report.wording import (
    NOTHING,
    baseline_in_words,
    comparison_sentence,
    duration,
    most_selected,
    serving_rows,
    significance_sentence,
    summary_table,
    verdict,
)

SPLITS = ("train", "dev", "test")  # in the order of their use


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
    yield data_sentence(report)
    yield markdown_table(_with_bold_student(summary_table(report)))
    yield f"Recovered: {report['recovered']:.1%} of the teacher. {significance_sentence(report['significance'])}"
    yield "![nDCG@10 on the development queries by iteration](plots/quality.png)"
    yield "## Use it"
    yield f"```python\n{loading_code(student_path)}\n```"
    yield "## Iterations"
    if report["warm_up"] is not None:
        yield warm_up_sentence(report["warm_up"], report["development"].get("student_before"))
    yield markdown_table(iteration_rows(report))
    yield best_sentence(report)
    yield "![How often each assistant was selected, by iteration](plots/selection.png)"
    if sentence := imitation_sentence(report):
        yield sentence
    yield from _optional(report)
    yield "## Compute"
    yield markdown_table(reuse_rows(report["compute"]))
    yield training_sentence(report["compute"])
    yield markdown_table(station_rows(report["compute"]))
    yield "## Conditions"
    yield "\n".join(f"- {name}: {value}" for name, value in conditions(report))
    if report["collection"]["notes"]:
        yield "## Notes"
        yield "\n".join(f"- {note}" for note in report["collection"]["notes"])


def _optional(report: Report) -> Iterator[str]:
    """What only some reports have."""
    if report.get("comparisons"):
        yield "## Wins and losses by query"
        yield "\n".join(f"- {comparison_sentence(comparison)}" for comparison in report["comparisons"])
        for comparison in report["comparisons"]:
            name = baseline_in_words(comparison["baseline"])
            yield f"![Differences in nDCG@10 to {name}](plots/against-{comparison['baseline']}.png)"
    if report.get("score_distributions"):
        yield "## Scores of the candidates"
        yield "![Distribution of every scorer's scores, by iteration](plots/scores.png)"
    if report.get("serving"):
        yield "## Serving"
        yield markdown_table(serving_rows(report["serving"]))


def data_sentence(report: Report) -> str:
    """What was measured on."""
    collection = report["collection"]
    splits = sorted(collection["queries"], key=lambda split: SPLITS.index(split) if split in SPLITS else len(SPLITS))
    queries = ", ".join(f"{collection['queries'][split]:,} {split}" for split in splits)
    return (
        f"Measured on the {report['split']} queries of {collection['name']} "
        f"({collection['passages']:,} passages; queries: {queries})."
    )


def _with_bold_student(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [*rows[:-1], _bold(rows[-1])]


def loading_code(student_path: str) -> str:
    """The lines of Python that load and use the student."""
    return (
        "from sentence_transformers import SentenceTransformer\n\n"
        f'student = SentenceTransformer("{student_path}")\n'
        'student.similarity(student.encode_query("a question"), student.encode_document(["a passage", "another"]))'
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
    return [
        _bold(row) if entry["iteration"] == report["best_iteration"] else row
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


def best_sentence(report: Report) -> str:
    """Which student was kept, and why, and where the run stopped early."""
    return " ".join([_kept_sentence(report), *_early_stop_sentences(report)])


def _early_stop_sentences(report: Report) -> list[str]:
    stopped, done = report.get("stopped_early"), len(report["iterations"])
    if not stopped:
        return []
    last = "the last one" if stopped["in_vain"] == 1 else f"the last {stopped['in_vain']}"
    return [
        f"The run stopped early, after {done} of {stopped['num_iterations']} iterations: {last} did not improve on "
        "the best student so far."
    ]


def _kept_sentence(report: Report) -> str:
    if any(entry["iteration"] == report["best_iteration"] for entry in report["iterations"]):
        return "The iteration in bold was best on the development queries; its student is the one reported above."
    kept = "untrained" if report["warm_up"] is None else "warmed-up"
    return (
        f"No iteration improved on the {kept} student on the development queries, "
        "so that student is the one reported above."
    )


def imitation_sentence(report: Report) -> str:
    """What the selected assistants were worth beside the teacher; empty where the report does not know."""
    alphas = [entry["alpha"] for entry in report["iterations"] if "alpha" in entry]
    if not alphas:
        return ""
    if min(alphas) == 1:
        return "The student imitated the teacher's distributions alone (alpha 1); selection was only noted."
    weights = f"{alphas[0]:g}" if len(set(alphas)) == 1 else f"{alphas[0]:.2f} to {alphas[-1]:.2f}"
    return f"In the targets the teacher weighed {weights} (alpha), the selected assistant the rest."


def _bold(row: dict[str, str]) -> dict[str, str]:
    return {column: f"**{value}**" for column, value in row.items()}


def conditions(report: Report) -> list[tuple[str, str]]:
    """What the result depends on, by name."""
    return [
        ("Device", report["device"]),
        ("Precision", report["precision"]),
        ("Seed", str(report["seed"])),
        ("Collection fingerprint", report["collection"]["fingerprint"]),
        ("Versions", ", ".join(f"{package} {version}" for package, version in report["versions"].items())),
    ]
