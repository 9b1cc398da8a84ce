"""What is known about teacher and assistants before any training."""

from __future__ import annotations

from dataclasses import dataclass


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
