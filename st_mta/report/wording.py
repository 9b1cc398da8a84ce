"""Numbers and facts of a report in words: shared by the pages, the console and the model card."""

from __future__ import annotations

from collections.abc import Mapping

from st_mta.report.schema import CollectionEntry, Compute, Report, Significance, Tally

NOTHING = "–"
UNKNOWN = "n/a"
"""For a measure of a system that was not measured."""
BEFORE, WARM_UP = "student-before", "warm-up"
CROSS_ENCODER = "cross-encoder"
"""Kind of a student that re-ranks."""
SPLITS = ("train", "dev", "test")  # in the order of their use


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


def measure(value: float | None) -> str:
    """A measure with three digits."""
    return UNKNOWN if value is None else f"{value:.3f}"


def recovered(report: Report) -> str:
    """The student's share of the teacher's nDCG@10."""
    return UNKNOWN if report["recovered"] is None else f"{report['recovered']:.1%}"


def kept_student(report: Report) -> str:
    """Which student is delivered: "student-before", "warm-up" or "iteration-NN", also for reports without "kept"."""
    best = report["best_iteration"]
    if any(entry["iteration"] == best for entry in report["iterations"]):
        return report.get("kept", f"iteration-{best:02d}")
    return report.get("kept", BEFORE if report["warm_up"] is None else WARM_UP)


def notice(report: Report) -> str:
    """What a reader must know first: that training, or all iterations, did not improve the student; else empty."""
    return {
        BEFORE: "No training improved the student on the development queries: it is delivered as it came.",
        WARM_UP: "No iteration improved on the warmed-up student on the development queries: that is delivered.",
    }.get(kept_student(report), "")


def verdict(report: Report) -> str:
    """The result in a sentence or two: what did not improve, then quality, size and speed."""
    return f"{notice(report)} {quality_sentence(report)}".strip()


def quality_sentence(report: Report) -> str:
    """Quality against the teacher, size and speed."""
    teacher, student, before = report["teacher"], report["student"], report["student_before"]
    change = student["ndcg@10"] - before["ndcg@10"]
    direction = "up from" if change > 0.0005 else "down from" if change < -0.0005 else "unchanged from"
    came = f"{direction} {before['ndcg@10']:.3f}"
    if report["recovered"] is None:
        theirs = "not measured" if teacher.get("ndcg@10") is None else measure(teacher["ndcg@10"])
        parts = [f"The student reaches {student['ndcg@10']:.3f} nDCG@10 ({came}; teacher {theirs})"]
    else:
        reached = f"{student['ndcg@10']:.3f} of {measure(teacher.get('ndcg@10'))}, {came}"
        parts = [f"The student reaches {recovered(report)} of its teacher's nDCG@10 ({reached})"]
    if 0 < student["parameters"] < teacher["parameters"]:
        parts.append(f"with {student['parameters'] / teacher['parameters']:.0%} of its parameters")
    fast, slow = student["queries_per_second"], teacher["queries_per_second"]
    if fast and slow and fast > slow:
        parts.append(f"at {fast / slow:,.{0 if fast >= 10 * slow else 1}f} times its speed")
    return " ".join(parts) + "."


def significance_sentence(test: Significance) -> str:
    """What the paired test says, with direction, interval and p value."""
    low, high = test["confidence_interval"]
    certain = test["p_value"] < 0.05
    p_value = "p < 0.001" if test["p_value"] < 0.001 else f"p = {test['p_value']:.3f}"
    return (
        f"Against {baseline_in_words(test['baseline'])} the difference in {measure_in_words(test['measure'])} is "
        f"{test['difference']:+.3f} (95% interval {low:+.3f} to {high:+.3f}), "
        f"{'significant' if certain else 'not significant'} at the 5% level "
        f"(paired randomisation test, {p_value}): {wins_and_losses(test)}."
    )


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


def wins_and_losses(tally: Tally) -> str:
    """Queries won and lost: "3 queries better, 1 worse, 9 equal"."""
    return f"{tally['wins']:,} queries better, {tally['losses']:,} worse, {tally['ties']:,} equal"


def data_sentence(report: Report) -> str:
    """What was measured on."""
    collection = report["collection"]
    return (
        f"Measured on the {report['split']} queries of {collection['name']} "
        f"({collection['passages']:,} passages; queries: {queries(collection)})."
    )


def queries(collection: CollectionEntry) -> str:
    """The number of queries of every split, in the order of their use."""
    splits = sorted(collection["queries"], key=lambda split: SPLITS.index(split) if split in SPLITS else len(SPLITS))
    return ", ".join(f"{collection['queries'][split]:,} {split}" for split in splits)


def warm_up_sentence(report: Report) -> str:
    """What the warm-up did to the student, or why there was none; empty where nothing is known."""
    warm_up, before = report["warm_up"], report["development"].get("student_before")
    if warm_up is None:
        skipped = report.get("warm_up_skipped")
        return f"No warm-up: {skipped}." if skipped else ""
    start = "" if before is None else f" from {before:.3f}"
    return (
        f"Warm-up: {warm_up['steps']:,} steps of regression to the embeddings of {warm_up['regressed_to']} in "
        f"{duration(warm_up['seconds'])} took the student{start} to {warm_up['dev_ndcg@10']:.3f} nDCG@10 on dev."
        + _map_sentence(report)
    )


MAPS = {
    "procrustes": "a fixed map (principal directions, then a rotation)",
    "learned": "a map that is learned along",
    "orthogonal": "an orthogonal map that is learned along",
}


def _map_sentence(report: Report) -> str:
    """Through which map, whose share is how large; empty where the embeddings were regressed to as they are."""
    found = report.get("regression")
    if found is None or found["aligned_to"] is None:
        return ""
    shares = zip(found["bi_encoders"], found["weights"])
    parts = ", ".join(f"{name} ({weight:.0%})" if len(found["weights"]) > 1 else name for name, weight in shares)
    return (
        f" The embeddings of {parts} are brought to the space of {found['aligned_to']} by {MAPS[found['map']]}, which "
        f"keeps {found['explained'] or 0:.1%} of their squared length."
    )


def best_sentence(report: Report) -> str:
    """Which student was kept, and why, and where the run stopped early."""
    if not (stopped := report.get("stopped_early")):
        return _kept_sentence(report)
    last = "the last one" if stopped["in_vain"] == 1 else f"the last {stopped['in_vain']}"
    return (
        f"{_kept_sentence(report)} The run stopped early, after {len(report['iterations'])} of "
        f"{stopped['num_iterations']} iterations: {last} did not improve on the best student so far."
    )


def _kept_sentence(report: Report) -> str:
    if kept_student(report).startswith("iteration"):
        return "The iteration in bold was best on the development queries; its student is the one reported above."
    kept = "untrained" if kept_student(report) == BEFORE else "warmed-up"
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


def loading_code(student_path: str, kind: str = "bi-encoder") -> str:
    """The lines of Python that load and use the student."""
    if kind == CROSS_ENCODER:
        return (
            "from sentence_transformers import CrossEncoder\n\n"
            f'student = CrossEncoder("{student_path}")\n'
            'student.rank("a question", ["a passage", "another"])'
        )
    return (
        "from sentence_transformers import SentenceTransformer\n\n"
        f'student = SentenceTransformer("{student_path}")\n'
        'student.similarity(student.encode_query("a question"), student.encode_document(["a passage", "another"]))'
    )


def conditions(report: Report) -> list[tuple[str, str]]:
    """What the result depends on, by name."""
    recipe = [("Recipe", report["recipe"])] if "recipe" in report else []
    return [
        *recipe,
        ("Device", report["device"]),
        ("Precision", report["precision"]),
        ("Seed", str(report["seed"])),
        ("Collection fingerprint", report["collection"]["fingerprint"]),
        ("Versions", ", ".join(f"{package} {version}" for package, version in report["versions"].items())),
    ]


def training_sentence(compute: Compute) -> str:
    """Steps and texts of the student's training, and the time of everything."""
    return (
        f"The student trained for {compute['training_steps']:,} steps on {compute['training_sequences']:,} texts. "
        f"Everything took {duration(compute['total_seconds'])}."
    )
