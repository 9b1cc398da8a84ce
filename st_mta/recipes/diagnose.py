"""Before any training: how each assistant, and each fusion of assistants, agrees with the teacher."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from st_mta.assistants.agreement import agreement
from st_mta.assistants.by_name import find_fusion
from st_mta.assistants.calibration import calibrate, check_calibration, fit_temperatures
from st_mta.assistants.fusion import Fusion, member_names, memberships
from st_mta.assistants.pool import AssistantPool
from st_mta.assistants.raw_scores import check_shape
from st_mta.assistants.weights import fit_weights
from st_mta.distributions import looks_like_sigmoid, masked_log_softmax
from st_mta.evaluation import evaluate_run
from st_mta.lookup import word_of
from st_mta.mining import mine
from st_mta.recipes.diagnosis import Agreement, Diagnosis
from st_mta.training.judgements import judge_by_teacher
from st_mta.training.lists import as_run, drop_unscored, fill_missing, padded
from st_mta.types import Candidates, Collection, FloatArray, IntArray, Qrels, Scorer


def diagnose(
    collection: Collection,
    split: str,
    pool: AssistantPool,
    retrievers: Sequence[Scorer],
    *,
    num_candidates: int = 32,
    max_queries: int = 500,
    fusion: str | Fusion = "mean",
    combinations: str = "all",
    calibration: str = "temperature",
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
        fusion: "mean", "rrf", "weighted" (the weights are fitted on the compared queries' judgements), a function or
            "module:function".
        combinations: "all", "pairs" or "none".
        calibration: "temperature", "zscore" or "affine".
        target_entropy: To which temperatures are fitted.
        seed: Of the sample.

    Raises:
        InputError: If an option is unknown, nobody can search, or a scorer tells no candidates apart.
    """
    check_calibration(calibration)
    table = memberships(len(pool.assistants), combinations)
    rule = None if fusion == "weighted" else find_fusion(fusion, len(pool.assistants))
    queries = _sample(collection.queries_of(split), max_queries, seed)
    qrels = {query_id: collection.qrels[split][query_id] for query_id in collection.queries.take_ids(queries)}
    if not any(qrels.values()):
        qrels = judge_by_teacher(collection, queries, pool.teacher, retrievers, num_candidates)
    lists, scores = _scored(collection, queries, qrels, pool, retrievers, num_candidates)
    dense, mask, positive = _dense(lists, scores)
    temperatures = fit_temperatures(dense, mask, calibration, target_entropy, [scorer.name for scorer in pool.scorers])
    calibrated = calibrate(dense, mask, temperatures, calibration)
    log_probs = masked_log_softmax(calibrated, mask[:, None])
    weights = None if rule is not None else fit_weights(log_probs[:, 1:], positive, mask)
    if pool.assistants:
        rule = rule or find_fusion(fusion, len(pool.assistants), weights)
        fused = rule(calibrated[:, 1:], table, mask)
        check_shape(f"the result of fusion {word_of(fusion)!r}", fused, (len(mask), len(table), mask.shape[1]))
        log_probs = torch.cat([log_probs[:, :1], fused], dim=1)
    names = [pool.teacher.name, *member_names(pool.assistant_names, table)]
    measured = agreement(log_probs[:, 0], log_probs, mask)
    rows = [
        Agreement(
            name,
            kl=float(measured["kl"][place]),
            footrule=float(measured["footrule"][place]),
            rbo=float(measured["rbo"][place]),
            top1=float(measured["top1"][place]),
            ndcg=evaluate_run(as_run(collection, lists, log_probs[:, place][mask].numpy()), qrels, ["ndcg@10"])[
                "ndcg@10"
            ],
            temperature=temperatures[place] if place < len(scores) else None,
            sigmoid=place < len(scores) and looks_like_sigmoid(torch.from_numpy(scores[place])),
        )
        for place, name in enumerate(names)
    ]
    members = sorted(rows[1:], key=lambda entry: entry.kl)
    return Diagnosis(
        teacher=rows[0],
        members=members,
        queries=len(lists),
        candidates=len(lists.passages) / max(1, len(lists)),
        calibration=calibration,
        fusion=word_of(fusion),
        weights=None if weights is None else dict(zip(pool.assistant_names, weights)),
    )


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


def _dense(lists: Candidates, scores: FloatArray) -> tuple[Tensor, Tensor, Tensor]:
    """(Q, S, N) raw scores, (Q, N) mask and (Q, N) positives."""
    rows = np.arange(len(lists))
    dense = torch.stack([padded(lists, one, rows)[0] for one in scores], dim=1)
    positive, mask = padded(lists, lists.positive.astype(np.float32), rows)
    return dense, mask, positive > 0
