"""Before any training: how each assistant, and each fusion of assistants, agrees with the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from st_mta.assistants.calibration import CALIBRATIONS, calibrate, check_shape, fit_temperatures
from st_mta.assistants.fusion import check_fusion, find_fusion, member_names, memberships
from st_mta.assistants.pool import AssistantPool
from st_mta.assistants.selection import agreement
from st_mta.assistants.weights import fit_weights
from st_mta.checked import Checked
from st_mta.distributions import looks_like_sigmoid, masked_log_softmax
from st_mta.evaluation import evaluate_run
from st_mta.lookup import check_choice
from st_mta.mining import mine
from st_mta.options import option
from st_mta.ranges import SEED, count_from
from st_mta.scored import score_all
from st_mta.training.judgements import judge_by_teacher
from st_mta.types import Collection, IntArray, Scorer

QUERIES, POOL = "Queries and candidates", "Assistants"


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
    """What `diagnose` found; everything that is printed, plotted and written.

    Attributes:
        teacher: The teacher beside itself.
        members: Every assistant and fusion, the closest in KL first.
        queries: Queries compared.
        candidates: Mean candidates per query.
        calibration: How the scorers were brought to one scale.
        fusion: How the assistants were combined.
        weights: Each assistant's fitted weight; None unless the fusion is "weighted".
    """

    teacher: Agreement
    members: list[Agreement]
    queries: int
    candidates: float
    calibration: str
    fusion: str
    weights: dict[str, float] | None = None

    @property
    def better_than_teacher(self) -> list[str]:
        """Plain assistants that rank the candidates better than the teacher does: it has nothing to teach them."""
        return [m.name for m in self.members if m.temperature is not None and m.ndcg > self.teacher.ndcg]


@dataclass(frozen=True, kw_only=True)
class DiagnoseOptions(Checked):
    """How assistants are compared with the teacher."""

    split: str = option(
        "dev", group=QUERIES, basic=True, help="Whose queries; dev is cut from train where there is none."
    )
    num_candidates: int = option(
        32, within=count_from(2), group=QUERIES, basic=True, help="Passages per query, from every searcher."
    )
    max_queries: int = option(
        500, within=count_from(1), group=QUERIES, basic=True, help="At most so many queries, a seeded sample."
    )
    fusion: str = option(
        "mean",
        group=POOL,
        basic=True,
        help="Fusing assistants: mean, rrf, weighted (fitted on the judgements of these queries) or module:function.",
    )
    combinations: str = option(
        "all", group=POOL, basic=True, choices=("all", "pairs", "none"), help="Which combinations are shown."
    )
    calibration: str = option(
        "temperature", group=POOL, basic=True, choices=CALIBRATIONS, help="How scorers are brought to one scale."
    )
    seed: int = option(42, within=SEED, help="Seed of the samples.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fusion(self.fusion)


def diagnose(
    collection: Collection, pool: AssistantPool, retrievers: Sequence[Scorer], options: DiagnoseOptions
) -> Diagnosis:
    """Scores the same candidates by every scorer and compares with the teacher, who judges where no one else did.

    Args:
        collection: Texts and judgements.
        pool: Teacher and assistants.
        retrievers: Scorers that bring the candidates.
        options: Whose queries, how many, and how scorers are calibrated and fused.

    Raises:
        InputError: If an option is unknown, no scorer can search, or a scorer tells no candidates apart.
    """
    split, fusion, calibration = options.split, options.fusion, options.calibration
    check_choice("calibration", calibration, CALIBRATIONS)
    table = memberships(len(pool.assistants), options.combinations)
    rule = None if fusion == "weighted" else find_fusion(fusion, len(pool.assistants))
    queries = _sample(collection.queries_of(split), options.max_queries, options.seed)
    qrels = {query_id: collection.qrels[split][query_id] for query_id in collection.queries.take_ids(queries)}
    if not any(qrels.values()):
        qrels = judge_by_teacher(collection, queries, pool.teacher, retrievers, options.num_candidates)
    found = mine(collection, queries, retrievers, qrels, num_candidates=options.num_candidates, listing=pool.teacher)
    scored = score_all(collection, found, pool.scorers).known().filled()
    dense, mask, positive = scored.dense()
    temperatures = fit_temperatures(dense, mask, calibration, names=list(scored.scorers))
    calibrated = calibrate(dense, mask, temperatures, calibration)
    log_probs = masked_log_softmax(calibrated, mask[:, None])
    weights = None if rule is not None else fit_weights(log_probs[:, 1:], positive, mask)
    if pool.assistants:
        rule = rule or find_fusion(fusion, len(pool.assistants), weights)
        fused = rule(calibrated[:, 1:], table, mask)
        check_shape(f"the result of fusion {fusion!r}", fused, (len(mask), len(table), mask.shape[1]))
        log_probs = torch.cat([log_probs[:, :1], fused], dim=1)
    names = [pool.teacher.name, *member_names(pool.assistant_names, table)]
    measured = agreement(log_probs[:, 0], log_probs, mask)
    rows = [
        Agreement(
            name,
            **{measure: float(values[place]) for measure, values in measured.items()},
            ndcg=evaluate_run(scored.as_run(collection, log_probs[:, place][mask].numpy()), qrels)["ndcg@10"],
            temperature=temperatures[place] if place < len(pool.scorers) else None,
            sigmoid=place < len(pool.scorers)
            and not pool.scorers[place].bounded
            and looks_like_sigmoid(torch.from_numpy(scored.scores[place])),
        )
        for place, name in enumerate(names)
    ]
    return Diagnosis(
        teacher=rows[0],
        members=sorted(rows[1:], key=lambda entry: entry.kl),
        queries=len(scored),
        candidates=len(scored.candidates.passages) / max(1, len(scored)),
        calibration=calibration,
        fusion=fusion,
        weights=None if weights is None else dict(zip(pool.assistant_names, weights)),
    )


def _sample(queries: IntArray, size: int, seed: int) -> IntArray:
    return queries if len(queries) <= size else np.sort(np.random.default_rng(seed).permutation(queries)[:size])
