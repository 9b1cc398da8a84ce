"""Scores the candidates by every scorer, completes and filters the lists, fits temperatures and weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from st_mta.assistants.calibration import calibrate, fit_temperature, fit_temperatures
from st_mta.assistants.weights import fit_weights
from st_mta.distributions import looks_like_sigmoid, masked_log_softmax
from st_mta.errors import InputError
from st_mta.mining import (
    best_windows,
    drop_false_negatives,
    in_corpus_order,
    load_candidates,
    mine,
    relabel,
    save_scored,
    similarity_to_positives,
)
from st_mta.run.results import Scored
from st_mta.scored import ScoredCandidates, score_all
from st_mta.scorers import EmbeddingScorer
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.curriculum import training_queries
from st_mta.training.options import SIMILARITY
from st_mta.training.run_state import STUDENT, RunState
from st_mta.training.settled import CANDIDATES
from st_mta.training.stages.quality import weight_of_teacher
from st_mta.training.throughput import speeds
from st_mta.types import Collection, FloatArray, IntArray, Scorer

CALIBRATION_QUERIES = 2000
"""Queries from which temperatures are fitted; more change nothing that can be seen."""


def score_candidates(run: RunState, iteration: int, start_from: Path) -> Scored:
    """Writes lists and scores that the student can learn from."""
    folder = run.folder.iteration(iteration)
    mined = in_corpus_order(load_candidates(folder / "candidates.parquet"))
    _encode_students(run, mined.queries, iteration, start_from)
    mined = best_windows(run.collection, mined, run.pool.teacher)
    complete = score_lists(run, score_all(run.collection, mined, run.pool.scorers))
    labelled, relabelled = relabel_lists(run, complete)
    lists, filtered = filter_lists(run, labelled, iteration, start_from)
    save_scored(folder, lists)
    sample = lists.select(calibration_rows(lists))
    scores, mask, _ = sample.dense()
    temperatures = fit_temperatures(
        scores, mask, run.arguments.calibration, run.arguments.target_entropy, list(lists.scorers)
    )
    student = run.students.scorer(start_from, STUDENT)
    return Scored(
        scorers=list(lists.scorers),
        temperatures=temperatures,
        weights=_fusion_weights(run, student, temperatures[1:]),
        alpha=_alpha(run),
        student_scale=_fit_student_scale(run, sample, student),
        dropped_queries=len(mined) - len(complete),
        candidates_per_query=len(lists.candidates.passages) / len(lists),
        pairs_per_second=speeds(run.pool.scorers),
        relabelled_queries=relabelled,
        **filtered,
    )


def _encode_students(run: RunState, mined: IntArray, iteration: int, start_from: Path) -> None:
    """Has encoded what is read of the student and of promoted ones; they are few, and queries are short."""
    queries = training_queries(run.collection) if iteration else mined
    promoted = [scorer for scorer in run.pool.assistants if scorer.name in run.pool.promoted]
    for student in (run.students.scorer(start_from, STUDENT), *promoted):
        if isinstance(student, EmbeddingScorer):
            run.encode_student(student, queries)


def score_lists(run: RunState, scored: ScoredCandidates) -> ScoredCandidates:
    """The lists that can be learned from, every score finite and every query with a positive.

    Raises:
        InputError: If the teacher's scores went through a sigmoid, or it knows fewer than two passages of every query.
    """
    _refuse_sigmoid(run.pool.teacher, scored.scores[0])
    known = scored.known()
    if len(known) == 0:
        raise InputError(
            expected="lists of at least two candidates that the teacher has scored",
            got=f"none among {len(scored)} queries (teacher {run.pool.teacher.name!r})",
            consequence="there would be nothing to learn",
            remedy="give a larger corpus, or stored scores that cover more passages of each query",
        )
    return known.filled().with_pseudo_positives(run.collection.windows)


def relabel_lists(run: RunState, scored: ScoredCandidates) -> tuple[ScoredCandidates, int | None]:
    """Takes the teacher's best passages as positives, where the arguments ask for it.

    Returns:
        The lists, and of how many queries it did; None where labels are believed.
    """
    if run.arguments.relabel is None:
        return scored, None
    found = relabel(scored, run.arguments.relabel, run.collection.windows)
    return found.lists, len(found.rows)


def filter_lists(
    run: RunState, scored: ScoredCandidates, iteration: int, start_from: Path
) -> tuple[ScoredCandidates, dict[str, float]]:
    """Leaves likely false negatives out, where the arguments ask for it.

    Returns:
        The lists, and "filter_rate" and "rescued_queries", or nothing where there is no filter.
    """
    rule = run.arguments.false_negative_filter()
    if rule is None:
        return scored, {}
    suspicious: FloatArray = scored.scores[0]
    if run.arguments.filter_false_negatives == SIMILARITY:
        suspicious = similarity_to_positives(scored.candidates, run.passage_embeddings(start_from).rows)
    filtered = drop_false_negatives(scored.candidates, suspicious, rule, iteration)
    return scored.keep(filtered.kept), {"filter_rate": filtered.rate, "rescued_queries": filtered.rescued}


def _refuse_sigmoid(teacher: Scorer, scores: FloatArray) -> None:
    """A teacher whose scores went through a sigmoid has lost the distances it should teach."""
    if teacher.bounded or not looks_like_sigmoid(torch.from_numpy(scores[~np.isnan(scores)])):
        return
    raise InputError(
        expected=f"raw logits from the teacher {teacher.name!r}",
        got=f"scores between {np.nanmin(scores):.4f} and {np.nanmax(scores):.4f}, as a sigmoid gives them",
        consequence="the best passages would all score nearly 1 and could not be told apart",
        remedy="score without an activation (activation_fn=torch.nn.Identity()), or store the logits",
    )


def _fit_student_scale(run: RunState, sample: ScoredCandidates, student: Scorer) -> float | None:
    """The factor at which the student is as sure of its candidates as its teachers; None where the user named one."""
    if run.arguments.scale is not None:
        return None
    scores, mask, _ = score_all(run.collection, sample.candidates, [student]).dense()
    scale = 1 / fit_temperature(scores[:, 0], mask, run.arguments.target_entropy, student.name)
    # Nothing bounds a cross-encoder's logits: it becomes surer by itself, and a new head's noise is not enlarged.
    return min(1.0, scale) if run.reranks else scale


def calibration_rows(lists: ScoredCandidates) -> IntArray:
    """Rows of the lists on which temperatures are fitted, spread evenly."""
    return np.unique(np.linspace(0, len(lists) - 1, CALIBRATION_QUERIES).astype(np.int64))


def _alpha(run: RunState) -> float:
    """Weight of the teacher beside the selected assistant."""
    if run.arguments.alpha is not None:
        return run.arguments.alpha
    teacher, *assistants = (scorer.name for scorer in run.initial_scorers)
    return weight_of_teacher(teacher, assistants, run.dev_quality())


def _fusion_weights(run: RunState, student: Scorer, temperatures: list[float]) -> list[float] | None:
    """The assistants' weights, where the fusion has any."""
    if run.arguments.fusion != "weighted":
        return None
    if not run.pool.assistants:
        return []
    return fit_dev_weights(run.collection, run.retrievers(student), run.pool.assistants, temperatures, run.arguments)


def fit_dev_weights(
    collection: Collection,
    retrievers: Sequence[Scorer],
    assistants: Sequence[Scorer],
    temperatures: Sequence[float],
    arguments: MultiAssistantTrainingArguments,
) -> list[float]:
    """The mixture of assistants that puts most mass on the relevant passages of the development queries.

    Args:
        collection: With a judged dev split.
        retrievers: They bring the candidates, always the top ones.
        assistants: A scorers in pool order; the teacher is not asked.
        temperatures: A temperatures, fitted on the training queries.
        arguments: ``num_candidates``, ``range_max`` and ``calibration`` are read.

    Returns:
        A weights that sum to one; an assistant without a score for these queries gets the mean of the others'.

    Raises:
        InputError: If no development query has a positive.
    """
    lists = mine(
        collection,
        collection.queries_of("dev"),
        retrievers,
        collection.qrels["dev"],
        num_candidates=arguments.num_candidates or CANDIDATES,
        depth=arguments.range_max,
    )
    lists = lists.select(np.flatnonzero(lists.lengths))
    scored = score_all(collection, best_windows(collection, lists, retrievers[0]), assistants)
    known = torch.from_numpy(~np.isnan(scored.scores).all(axis=1))
    scores, mask, positive = scored.filled().dense()
    log_probs = masked_log_softmax(calibrate(scores, mask, temperatures, arguments.calibration), mask[:, None])
    weights = torch.full((len(assistants),), 1 / len(assistants), dtype=torch.float64)
    if bool(known.any()) or not len(lists):  # without queries it says what is missing
        fitted = torch.tensor(fit_weights(log_probs[:, known], positive, mask), dtype=torch.float64)
        weights[known] = fitted * known.double().mean()
    return list(weights.tolist())
