"""Before any training: how each assistant, and each fusion of assistants, agrees with the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from st_mta.assistants.agreement import agreement
from st_mta.assistants.calibration import fit_temperature, looks_like_sigmoid
from st_mta.assistants.fusion import FUSIONS, masked_log_softmax, member_names, memberships
from st_mta.assistants.pool import AssistantPool
from st_mta.evaluation import evaluate_run
from st_mta.mining import mine
from st_mta.training.judgements import judge_by_teacher
from st_mta.training.lists import drop_unscored, fill_missing, padded
from st_mta.types import Candidates, Collection, FloatArray, IntArray, Qrels, Run, Scorer


@dataclass(frozen=True)
class Agreement:
    """One member of the pool beside the teacher, means over the queries.

    Attributes:
        name: The scorer's; a fusion is its assistants' names joined by "+".
        kl: KL(teacher || member) of the calibrated distributions, in nats.
        footrule: Share of the greatest footrule distance.
        rbo: Rank-biased overlap, 1 for the same ranking.
        top1: Share of queries with the same best passage.
        ndcg: nDCG@10 of the candidates in the member's order, by the judgements.
        temperature: At which its distributions have the target entropy; None for fusions.
        sigmoid: Whether its raw scores look squeezed through a sigmoid.
    """

    name: str
    kl: float
    footrule: float
    rbo: float
    top1: float
    ndcg: float
    temperature: float | None = None
    sigmoid: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found.

    Attributes:
        teacher: The teacher beside itself.
        members: Every assistant and fusion, the closest in KL first.
        queries: Queries compared.
        candidates: Mean candidates per query.
    """

    teacher: Agreement
    members: list[Agreement]
    queries: int
    candidates: float

    @property
    def better_than_teacher(self) -> list[str]:
        """Plain assistants that rank the candidates better than the teacher does: it has nothing to teach them."""
        return [m.name for m in self.members if m.temperature is not None and m.ndcg > self.teacher.ndcg]


def diagnose(
    collection: Collection,
    split: str,
    pool: AssistantPool,
    retrievers: Sequence[Scorer],
    *,
    num_candidates: int = 32,
    max_queries: int = 500,
    fusion: str = "mean",
    combinations: str = "all",
    target_entropy: float = 0.5,
    seed: int = 0,
) -> Diagnosis:
    """Scores the same candidates by everybody and compares with the teacher.

    Args:
        collection: Texts and judgements.
        split: Whose queries; dev is the honest choice. Where nobody has judged them, the teacher does.
        pool: Teacher and assistants.
        retrievers: Scorers that bring the candidates.
        num_candidates: Passages per query.
        max_queries: At most so many queries, a seeded sample.
        fusion: A word of ``FUSIONS``.
        combinations: "all", "pairs" or "none".
        target_entropy: To which every scorer's temperature is fitted.
        seed: Of the sample.

    Raises:
        InputError: If nobody can search, or a scorer tells no candidates apart.
    """
    queries = _sample(collection.queries_of(split), max_queries, seed)
    qrels = {query_id: collection.qrels[split][query_id] for query_id in collection.queries.take_ids(queries)}
    if not any(qrels.values()):
        qrels = judge_by_teacher(collection, queries, pool.teacher, retrievers, num_candidates)
    lists, scores = _scored(collection, queries, qrels, pool, retrievers, num_candidates)
    dense = torch.stack([padded(lists, one, np.arange(len(lists)))[0] for one in scores], dim=1)
    mask = padded(lists, scores[0], np.arange(len(lists)))[1]
    temperatures = [fit_temperature(dense[:, row], mask, target_entropy) for row in range(len(scores))]
    calibrated = dense / dense.new_tensor(temperatures)[:, None]
    names, log_probs = _members(calibrated, mask, pool, fusion, combinations)
    measured = agreement(log_probs[:, 0], log_probs, mask)
    rows = [
        Agreement(
            name,
            kl=float(measured["kl"][place]),
            footrule=float(measured["footrule"][place]),
            rbo=float(measured["rbo"][place]),
            top1=float(measured["top1"][place]),
            ndcg=evaluate_run(_run(collection, lists, log_probs[:, place], mask), qrels, ["ndcg@10"])["ndcg@10"],
            temperature=temperatures[place] if place < len(scores) else None,
            sigmoid=place < len(scores) and looks_like_sigmoid(torch.from_numpy(scores[place])),
        )
        for place, name in enumerate(names)
    ]
    members = sorted(rows[1:], key=lambda entry: entry.kl)
    return Diagnosis(rows[0], members, len(lists), len(lists.passages) / max(1, len(lists)))


def _sample(queries: IntArray, size: int, seed: int) -> IntArray:
    return queries if len(queries) <= size else np.sort(np.random.default_rng(seed).permutation(queries)[:size])


def _scored(
    collection: Collection,
    queries: IntArray,
    qrels: Qrels,
    pool: AssistantPool,
    retrievers: Sequence[Scorer],
    num_candidates: int,
) -> tuple[Candidates, FloatArray]:
    """The candidates whose score the teacher knows, and the (S, P) scores."""
    found = mine(collection, queries, retrievers, qrels, num_candidates=num_candidates)
    pairs = found.pair_queries, found.passages
    raw = np.stack([scorer.score(collection.queries, collection.corpus, *pairs) for scorer in pool.scorers])
    lists, scores, _ = drop_unscored(found, raw)
    return lists, fill_missing(lists, scores)


def _members(
    calibrated: Tensor, mask: Tensor, pool: AssistantPool, fusion: str, combinations: str
) -> tuple[list[str], Tensor]:
    """Names and (Q, 1 + F, N) log-probabilities of the teacher, the assistants and their fusions."""
    teacher = masked_log_softmax(calibrated[:, :1], mask[:, None])
    if not pool.assistants:
        return [pool.teacher.name], teacher
    table = memberships(len(pool.assistants), combinations)
    fused = FUSIONS[fusion](calibrated[:, 1:], table, mask)
    return [pool.teacher.name, *member_names(pool.assistant_names, table)], torch.cat([teacher, fused], dim=1)


def _run(collection: Collection, lists: Candidates, log_probs: Tensor, mask: Tensor) -> Run:
    """The candidates with the member's log-probabilities as scores."""
    values = log_probs[mask].tolist()
    query_ids, passage_ids = collection.queries.take_ids(lists.queries), collection.corpus.take_ids(lists.passages)
    ends = lists.offsets.tolist()
    return {
        query_id: dict(zip(passage_ids[start:end], values[start:end]))
        for query_id, start, end in zip(query_ids, ends[:-1], ends[1:])
    }
