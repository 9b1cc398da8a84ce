"""The stations of one iteration, in the order of the flow: draw, mine, score, train."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from st_mta.assistants.calibration import fit_temperature, looks_like_sigmoid
from st_mta.assistants.pool import AssistantPool
from st_mta.assistants.targets import AssistantTargets
from st_mta.errors import InputError
from st_mta.mining import mine
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.lists import drop_unscored, fill_missing, mark_pseudo_positives, padded
from st_mta.types import Candidates, Collection, FloatArray, IntArray, Qrels, Scorer

CALIBRATION_QUERIES = 2000
"""Queries from which temperatures are fitted; more change nothing that can be seen."""


def training_queries(collection: Collection) -> IntArray:
    """Positions of all training queries: the judged ones, then the unlabelled."""
    return np.concatenate([collection.queries_of("train"), collection.unlabelled])


def draw_queries(
    available: IntArray, wrong: IntArray, arguments: MultiAssistantTrainingArguments, iteration: int
) -> tuple[IntArray, IntArray]:
    """The queries of an iteration, and those of them that come in because the student got them wrong.

    Args:
        available: All training queries.
        wrong: Those the student got wrong at the end of the previous iteration.
        arguments: ``queries_per_iteration``, ``hard_queries`` and ``seed`` are read.
        iteration: Counted from 0.

    Returns:
        A seeded sample of ``queries_per_iteration`` queries (all by default), and the hard ones: at most as many as
        half the sample, drawn from ``wrong``. A query may be in both; it is then seen twice.
    """
    random = np.random.default_rng([arguments.seed, iteration])
    size = min(arguments.queries_per_iteration or len(available), len(available))
    hard = random.permutation(wrong)[: size // 2] if arguments.hard_queries else wrong[:0]
    return np.sort(random.permutation(available)[:size]), np.sort(hard)


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
    retrievers = [student, *(assistant for assistant in pool.assistants if assistant.can_retrieve)]
    return mine(
        collection,
        queries,
        retrievers,
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


def fit_temperatures(candidates: Candidates, scores: FloatArray, target_entropy: float) -> list[float]:
    """One temperature per scorer, from a sample of the queries."""
    rows = np.unique(np.linspace(0, len(candidates) - 1, CALIBRATION_QUERIES).astype(np.int64))
    return [float(fit_temperature(*padded(candidates, one, rows), target_entropy)) for one in scores]


def make_targets(
    pool: AssistantPool, temperatures: list[float], arguments: MultiAssistantTrainingArguments
) -> AssistantTargets:
    """The fusion and selection that the arguments ask for."""
    return AssistantTargets(
        pool.assistant_names,
        temperatures,
        fusion=arguments.fusion,
        combinations=arguments.combinations,
        selection=arguments.selection,
        select_per=arguments.select_per,
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
