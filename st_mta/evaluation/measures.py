"""Graded measures of a run, computed by ir_measures and equal to trec_eval's on the written run file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ir_measures
import numpy as np

from st_mta.errors import InputError
from st_mta.lookup import check_choice
from st_mta.types import Judged, graded, is_grade

MEASURES = {
    "ndcg@10": ir_measures.nDCG @ 10,
    "mrr@10": ir_measures.RR @ 10,
    "map": ir_measures.AP,
    "recall@100": ir_measures.R @ 100,
}
"""Name in reports -> measure. nDCG uses the grades; the others only ask whether a passage is relevant."""
LARGEST_GRADE = 10_000
"""trec_eval counts passages by grade in an array that is as long as the highest; 10**9 would take gigabytes."""


def evaluate_run(
    run: Mapping[str, Mapping[str, float]],
    qrels: Mapping[str, Judged],
    measures: Iterable[str] = tuple(MEASURES),
    *,
    relevance_level: int = 1,
) -> dict[str, float]:
    """Means of the measures over all judged queries.

    Args:
        run: Scores of the system; queries without judgements are ignored.
        qrels: Graded judgements, or sets of relevant passages; each of its queries counts, with 0 where the run has
            no answer.
        measures: Names from ``MEASURES``.
        relevance_level: Lowest grade that counts as relevant for measures without grades (2 in TREC Deep Learning).

    Returns:
        One value between 0 and 1 for each measure, in the order asked for.

    Raises:
        InputError: If a measure is unknown, there are no judgements, or a score is not a number.
    """
    values = _values(run, qrels, list(measures), relevance_level)
    return {measure: sum(by_query.values()) / len(by_query) for measure, by_query in values.items()}


def per_query(
    run: Mapping[str, Mapping[str, float]], qrels: Mapping[str, Judged], measure: str, *, relevance_level: int = 1
) -> dict[str, float]:
    """The measure of each judged query, in the order of the qrels; for paired tests.

    Raises:
        InputError: As ``evaluate_run``.
    """
    return _values(run, qrels, [measure], relevance_level)[measure]


def _values(
    run: Mapping[str, Mapping[str, float]], judgements: Mapping[str, Judged], names: list[str], relevance_level: int
) -> dict[str, dict[str, float]]:
    """Measure -> query -> value. The one place where a query without an answer gets its 0."""
    _check(run, judgements, names)
    qrels = {query_id: _whole_grades(query_id, judged) for query_id, judged in judgements.items()}
    values = {name: dict.fromkeys(qrels, 0.0) for name in names}
    measure_names = {_at_level(_native(MEASURES[name]), relevance_level): name for name in names}
    judged = {query_id: _without_ties(query_id, run[query_id]) for query_id in qrels if run.get(query_id)}
    high = {query_id for query_id in judged if max(qrels[query_id].values(), default=0) > LARGEST_GRADE}
    ceiling = max(LARGEST_GRADE, relevance_level)
    low = qrels if not high else {query_id: _limited(grades, ceiling) for query_id, grades in qrels.items()}
    for metric in ir_measures.iter_calc(list(measure_names), low, judged):
        name = measure_names[metric.measure]
        values[name][metric.query_id] = _cut(float(metric.value), MEASURES[name])
    for name in names:
        if MEASURES[name].NAME == "nDCG":
            cutoff = MEASURES[name].params["cutoff"]
            values[name] |= {query_id: _ndcg(judged[query_id], qrels[query_id], cutoff) for query_id in high}
    return values


def _whole_grades(query_id: str, judged: Judged) -> dict[str, int]:
    """Passage id -> grade as Python's own numbers, which pytrec_eval wants."""
    grades = graded(judged)
    if grades is None or not all(map(is_grade, grades.values())):
        raise InputError(
            expected="passage id -> whole number as grade, or a set of passage ids, for every query of the qrels",
            got=f"{judged!r} for query {query_id!r}"[:200],
            remedy="write {query_id: {passage_id: 1}}",
        )
    return {passage_id: int(grade) for passage_id, grade in grades.items()}


def _limited(grades: dict[str, int], ceiling: int) -> dict[str, int]:
    return {passage_id: min(grade, ceiling) for passage_id, grade in grades.items()}


def _ndcg(scores: dict[str, float], grades: dict[str, int], cutoff: int) -> float:
    """The sum of grade / log2(rank + 1) over that of the ideal ranking, as trec_eval defines nDCG."""
    ranking = sorted(scores, key=lambda passage_id: -scores[passage_id])[:cutoff]
    gains = np.array([max(grades.get(passage_id, 0), 0) for passage_id in ranking], dtype=np.float64)
    ideal = np.sort(np.maximum(np.array(list(grades.values()), dtype=np.float64), 0))[::-1][:cutoff]
    discounts = 1 / np.log2(np.arange(2, cutoff + 2))
    return float(gains @ discounts[: len(gains)] / (ideal @ discounts[: len(ideal)]))


def _native(measure: Any) -> Any:
    """Reciprocal rank without its cutoff, which trec_eval computes many times faster than ir_measures the other."""
    return ir_measures.RR if measure.NAME == "RR" else measure


def _cut(value: float, measure: Any) -> float:
    """0 for a reciprocal rank beyond the measure's cutoff."""
    return 0.0 if measure.NAME == "RR" and value < 1 / measure.params.get("cutoff", np.inf) else value


def _at_level(measure: Any, relevance_level: int) -> Any:
    """The measure with this lowest relevant grade, where it knows only relevant and not."""
    return measure(rel=relevance_level) if relevance_level != 1 and "rel" in measure.SUPPORTED_PARAMS else measure


def _check(run: Mapping[str, Mapping[str, float]], qrels: Mapping[str, Judged], names: list[str]) -> None:
    for name in names:
        check_choice("a measure", name, MEASURES)
    if not isinstance(run, Mapping):
        raise _no_run(f"a {type(run).__name__}")
    if not qrels:
        raise InputError(expected="at least one judged query", got="empty qrels", remedy="choose a judged split")


def _no_run(found: str) -> InputError:
    remedy = "write {query_id: {passage_id: 1.5}}, or read a run file with st_mta.trec.read_run"
    return InputError(expected="query id -> passage id -> score as a run", got=found, remedy=remedy)


def _without_ties(query_id: str, passages: Mapping[str, float]) -> dict[str, float]:
    """The same ranking with distinct scores; ties are broken as trec_eval breaks them.

    The providers behind ir_measures disagree about ties (by id upwards for RR@k, downwards for the others), so a
    tied run would be measured on two different rankings. trec_eval's rule wins: single precision, higher id first.
    """
    try:
        scores = np.fromiter(passages.values(), dtype=np.float32, count=len(passages))
    except (AttributeError, TypeError, ValueError) as error:
        raise _no_run(f"{str(passages)[:100]} for query {query_id!r}") from error
    if np.isnan(scores).any():
        raise InputError(
            expected="a score for every passage of a run",
            got=f"NaN for passage {list(passages)[int(np.isnan(scores).argmax())]!r} of query {query_id!r}",
            remedy="leave passages without a score out of the run",
        )
    ascending = np.sort(scores)
    if (ascending[1:] != ascending[:-1]).all():
        return dict(zip(passages, scores.tolist()))
    ranking = sorted(zip(scores.tolist(), passages), reverse=True)
    return {passage_id: -float(rank) for rank, (_, passage_id) in enumerate(ranking)}
