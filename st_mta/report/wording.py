"""Numbers and facts of a report in words: shared by the page, the console and the model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from st_mta.report.schema import Comparison, IterationScores, ModelEntry, Report, ServingEntry, Significance

NOTHING = "–"


def duration(seconds: float) -> str:
    """A time span as people say it: "12.3 s", "4 min 05 s", "2 h 10 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(number: float) -> str:
    """A number of weights: "22.7M", "4.3k", and a dash for none."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}" if number else NOTHING


def rate(queries_per_second: float | None) -> str:
    """Queries per second with about three digits."""
    if queries_per_second is None:
        return NOTHING
    return f"{queries_per_second:,.0f}" if queries_per_second >= 10 else f"{queries_per_second:.2f}"


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
        "nDCG@10": f"{entry['ndcg@10']:.3f}",
        "MRR@10": f"{entry['mrr@10']:.3f}",
        "Recall@100": f"{entry['recall@100']:.3f}",
        "queries/s": rate(entry["queries_per_second"]),
    }


def verdict(report: Report) -> str:
    """The result in one sentence: quality against the teacher, size and speed."""
    teacher, student, before = report["teacher"], report["student"], report["student_before"]
    change = student["ndcg@10"] - before["ndcg@10"]
    direction = "up from" if change > 0.0005 else "down from" if change < -0.0005 else "unchanged from"
    parts = [
        f"The student reaches {report['recovered']:.1%} of its teacher's nDCG@10 "
        f"({student['ndcg@10']:.3f} of {teacher['ndcg@10']:.3f}, {direction} {before['ndcg@10']:.3f})"
    ]
    if 0 < student["parameters"] < teacher["parameters"]:
        parts.append(f"with {student['parameters'] / teacher['parameters']:.0%} of its parameters")
    fast, slow = student["queries_per_second"], teacher["queries_per_second"]
    if fast and slow and fast > slow:
        parts.append(f"at {_times(fast / slow)} its speed")
    return " ".join(parts) + "."


def _times(factor: float) -> str:
    return f"{factor:,.0f} times" if factor >= 10 else f"{factor:.1f} times"


def significance_sentence(test: Significance) -> str:
    """What the paired test says, with direction, interval and p value."""
    low, high = test["confidence_interval"]
    certain = test["p_value"] < 0.05
    return (
        f"Against {baseline_in_words(test['baseline'])} the difference in {measure_in_words(test['measure'])} is "
        f"{test['difference']:+.3f} (95% interval {low:+.3f} to {high:+.3f}), "
        f"{'significant' if certain else 'not significant'} at the 5% level "
        f"(paired randomisation test, {p_value_in_words(test['p_value'])}): "
        f"{test['wins']:,} queries better, {test['losses']:,} worse, {test['ties']:,} equal."
    )


def p_value_in_words(p_value: float) -> str:
    """A p value with three digits: "p = 0.012", "p < 0.001"."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def baseline_in_words(baseline: str) -> str:
    """Name of a baseline within a sentence."""
    return {"student_before": "the student before distillation", "teacher": "the teacher"}.get(baseline, baseline)


def measure_in_words(measure: str) -> str:
    """Usual spelling of a measure: "nDCG@10" for "ndcg@10"."""
    spelling = {"ndcg": "nDCG", "mrr": "MRR", "map": "MAP", "recall": "Recall"}
    stem, at, depth = measure.partition("@")
    return spelling.get(stem, stem) + at + depth


def most_selected(shares: Mapping[str, float], how_many: int = 2) -> str:
    """The assistants selected most often, with their shares: "bm25+minilm 62%, minilm 30%"."""
    leading = sorted(shares.items(), key=lambda item: -item[1])[:how_many]
    return ", ".join(f"{name} {share:.0%}" for name, share in leading if share > 0) or NOTHING


def comparison_sentence(comparison: Comparison) -> str:
    """Queries won and lost against a baseline."""
    return f"Against {baseline_in_words(comparison['baseline'])}: {wins_and_losses(comparison)}"


def wins_and_losses(comparison: Comparison) -> str:
    """Queries won and lost."""
    return (
        f"{comparison['wins']:,} queries better, {comparison['losses']:,} worse, {comparison['ties']:,} equal in "
        f"{measure_in_words('ndcg@10')}."
    )


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
