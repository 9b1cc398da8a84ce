"""What the stations of an iteration work with, in the order of the flow: mine, score, train."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from st_mta.assistants.calibration import fit_temperatures
from st_mta.assistants.pool import AssistantPool
from st_mta.assistants.targets import AssistantTargets
from st_mta.assistants.temperature import fit_temperature
from st_mta.distributions import looks_like_sigmoid
from st_mta.errors import InputError
from st_mta.mining import drop_false_negatives, mine, similarity_to_positives
from st_mta.stores.embeddings import Embeddings
from st_mta.training.arguments import SIMILARITY, MultiAssistantTrainingArguments
from st_mta.training.collator import FlatDocumentsCollator
from st_mta.training.lists import drop_unscored, fill_missing, mark_pseudo_positives, padded_scores
from st_mta.training.warm_up import column_prompts
from st_mta.types import Candidates, Collection, FloatArray, IntArray, Qrels, Scorer

CALIBRATION_QUERIES = 2000
"""Queries from which temperatures are fitted; more change nothing that can be seen."""


def retrievers(student: Scorer, pool: AssistantPool) -> list[Scorer]:
    """Those who bring the candidates: the student, and the assistants that can search."""
    return [student, *(assistant for assistant in pool.assistants if assistant.can_retrieve)]


def mine_candidates(
    collection: Collection,
    queries: IntArray,
    positives: Qrels,
    student: Scorer,
    pool: AssistantPool,
    arguments: MultiAssistantTrainingArguments,
    iteration: int,
) -> Candidates:
    """The union of what the student and the retrieving assistants find, positives first."""
    return mine(
        collection,
        queries,
        retrievers(student, pool),
        positives,
        num_candidates=arguments.num_candidates,
        range_min=arguments.range_min,
        depth=arguments.range_max,
        sampling_strategy=arguments.sampling_strategy,
        seed=arguments.seed + iteration,
    )


def score_candidates(
    collection: Collection, candidates: Candidates, pool: AssistantPool
) -> tuple[Candidates, FloatArray, int]:
    """Scores every pair by every scorer; completes labels and lists.

    Returns:
        Candidates of the queries that can be learned from, their (S, P) finite scores, and how many queries had to be
        left out because the teacher knows fewer than two of their passages.
    """
    pairs = candidates.pair_queries, candidates.passages
    scores = np.stack([scorer.score(collection.queries, collection.corpus, *pairs) for scorer in pool.scorers])
    refuse_sigmoid(pool.teacher, scores[0])
    candidates, scores, dropped = drop_unscored(candidates, scores)
    if len(candidates) == 0:
        raise InputError(
            expected="lists of at least two candidates that the teacher has scored",
            got=f"none among {dropped} queries (teacher {pool.teacher.name!r})",
            consequence="there would be nothing to learn",
            remedy="give a larger corpus, or stored scores that cover more passages of each query",
        )
    scores = fill_missing(candidates, scores)
    return mark_pseudo_positives(candidates, scores[0]), scores, dropped


def filter_candidates(
    candidates: Candidates,
    scores: FloatArray,
    passages: Callable[[], Embeddings],
    arguments: MultiAssistantTrainingArguments,
    iteration: int,
) -> tuple[Candidates, FloatArray, dict[str, float]]:
    """Leaves likely false negatives out, where the arguments ask for it.

    Args:
        candidates: Q queries with P pairs.
        scores: (S, P), the teacher's first.
        passages: Makes the embeddings of all passages, where the filter needs them.
        arguments: Say whether and how.
        iteration: Which margin holds.

    Returns:
        The lists, their (S, P) scores, and "filter_rate" and "rescued_queries", or nothing where there is no filter.
    """
    filter = arguments.false_negative_filter()
    if filter is None:
        return candidates, scores, {}
    similar = arguments.filter_false_negatives == SIMILARITY
    suspicious = similarity_to_positives(candidates, passages().rows) if similar else scores[0]
    filtered = drop_false_negatives(candidates, suspicious, filter, iteration)
    reported = {"filter_rate": filtered.rate, "rescued_queries": filtered.rescued}
    return filtered.candidates, scores[:, filtered.kept], reported


def refuse_sigmoid(teacher: Scorer, scores: FloatArray) -> None:
    """A teacher whose scores went through a sigmoid has lost the distances it should teach."""
    if teacher.kind == "bi-encoder" or not looks_like_sigmoid(torch.from_numpy(scores[~np.isnan(scores)])):
        return
    raise InputError(
        expected=f"raw logits from the teacher {teacher.name!r}",
        got=f"scores between {np.nanmin(scores):.4f} and {np.nanmax(scores):.4f}, as a sigmoid gives them",
        consequence="the best passages would all score nearly 1 and could not be told apart",
        remedy="score without an activation (activation_fn=torch.nn.Identity()), or store the logits",
    )


def fit_calibration(
    candidates: Candidates, scores: FloatArray, pool: AssistantPool, arguments: MultiAssistantTrainingArguments
) -> list[float]:
    """One temperature per scorer, from a sample of the queries."""
    rows = _calibration_rows(candidates)
    names = [scorer.name for scorer in pool.scorers]
    dense, mask = padded_scores(candidates, scores, rows)
    return fit_temperatures(dense, mask, arguments.calibration, arguments.target_entropy, names)


def fit_student_scale(
    collection: Collection,
    candidates: Candidates,
    student: Scorer,
    arguments: MultiAssistantTrainingArguments,
) -> float | None:
    """The factor at which the student is as sure of its candidates as its teachers; None where the user named one."""
    if arguments.scale is not None:
        return None
    sample = candidates.select(_calibration_rows(candidates))
    scores = student.score(collection.queries, collection.corpus, sample.pair_queries, sample.passages)
    dense, mask = padded_scores(sample, scores[None], np.arange(len(sample)))
    return 1 / fit_temperature(dense[:, 0], mask, arguments.target_entropy, student.name)


def _calibration_rows(candidates: Candidates) -> IntArray:
    return np.unique(np.linspace(0, len(candidates) - 1, CALIBRATION_QUERIES).astype(np.int64))


def make_targets(
    pool: AssistantPool,
    temperatures: list[float],
    weights: list[float] | None,
    alpha: float,
    student_scale: float | None,
    arguments: MultiAssistantTrainingArguments,
) -> AssistantTargets:
    """The calibration, fusion and selection that the arguments ask for; ``weights`` are for fusion "weighted"."""
    return AssistantTargets(
        pool.assistant_names,
        temperatures,
        fusion=arguments.fusion,
        combinations=arguments.combinations,
        selection=arguments.selection,
        select_per=arguments.select_per,
        calibration=arguments.calibration,
        weights=weights,
        alpha=alpha,
        student_scale=student_scale,
    )


def unfitted_targets(pool: AssistantPool, arguments: MultiAssistantTrainingArguments) -> AssistantTargets:
    """The same before anything has been scored: it shows that the options go together, and describes them."""
    weights = [1.0] * len(pool.assistants) if arguments.fusion == "weighted" else None
    return make_targets(pool, [1.0] * len(pool.scorers), weights, 1.0, None, arguments)


def make_collator(
    student: SentenceTransformer,
    collection: Collection,
    arguments: MultiAssistantTrainingArguments,
    targets: dict[str, Embeddings],
) -> FlatDocumentsCollator:
    """The collator of an iteration; ``targets`` are the embeddings to regress to, empty for none."""
    per_forward = arguments.documents_per_forward
    if per_forward is None and arguments.device.type == "cpu":
        per_forward = 32
    return FlatDocumentsCollator(
        student.preprocess,
        prompts=arguments.prompts or column_prompts(student),
        router_mapping=arguments.router_mapping,
        corpus=collection.corpus,
        documents_per_forward=per_forward,
        targets=targets,
    )


def save_student(student: SentenceTransformer, folder: Path) -> None:
    """Saves a student so that the folder exists only when it is whole."""
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    student.save_pretrained(str(unfinished))
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def load_student(folder: Path, max_length: int | None, device: str | None) -> SentenceTransformer:
    """A fresh student from disk, so that nothing of an earlier training sticks to it."""
    student = SentenceTransformer(str(folder), device=device)
    if max_length is not None:
        student.max_seq_length = max_length
    return student
