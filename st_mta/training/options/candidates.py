"""Options of the candidates: how many, from where, and which of them are no negatives."""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.errors import InputError
from st_mta.filters import DynamicFilter
from st_mta.options import option
from st_mta.ranges import NOT_NEGATIVE, check_ranks, count_from
from st_mta.training.options.groups import CANDIDATES

SIMILARITY = "similarity"
SIMILARITY_MARGIN = 0.15
"""Below 1, a positive's own: precision of at least .8 on all five collections of benchmarks/filter."""


@dataclass(kw_only=True)
class CandidateOptions:
    """Which passages stand in a query's list."""

    queries_per_iteration: int | None = option(
        None,
        within=count_from(1),
        group=CANDIDATES,
        help="Training queries drawn for an iteration; None takes all.",
    )
    num_candidates: int | None = option(
        None,
        within=count_from(2),
        group=CANDIDATES,
        help="Passages per query at most, the positives among them. None is 16; with a file or dataset of scores as "
        "teacher it takes all that this has scored, up to 64.",
    )
    range_min: int = option(
        0, within=count_from(0), group=CANDIDATES, help="Retrieved passages skipped from the top when sampling."
    )
    range_max: int = option(
        100, within=count_from(1), group=CANDIDATES, help="Depth to which every retriever is searched."
    )
    sampling_strategy: str = option(
        "stratified",
        group=CANDIDATES,
        choices=("top", "random", "stratified"),
        help="How a retriever's candidates are taken from its ranks.",
    )
    filter_false_negatives: str | None = option(
        None,
        group=CANDIDATES,
        choices=(None, "relative", "absolute", SIMILARITY),
        help="Drop negatives that the teacher scores above the positive less a margin, relative to the positive's "
        "score or absolute in logits, or whose similarity (the cosine of the best bi-encoder at hand) to a positive "
        "is above 1 less a margin. With candidates in-batch this filters the batch's other passages too.",
    )
    filter_margins: list[float] | None = option(
        None,
        group=CANDIDATES,
        help="That margin for each iteration, the last for all that follow; negative ones filter less. None is 0, and "
        "0.15 for similarity.",
    )
    relabel: float | None = option(
        None,
        within=NOT_NEGATIVE,
        group=CANDIDATES,
        help="Where the teacher scores a candidate above every labelled positive by more than this margin (in its raw "
        "scores), take the candidate as the positive of the list; the labelled ones stay in it. None believes the "
        "labels.",
    )

    def _check_ranks(self) -> None:
        check_ranks(self.range_min, self.range_max)

    def false_negative_filter(self) -> DynamicFilter | None:
        """The filter between scoring and training, or None."""
        strategy, margins = self.filter_false_negatives, self.filter_margins
        if strategy is None:
            return None
        if strategy == "relative":
            return DynamicFilter(relative_margin=0.0 if margins is None else margins)
        default = SIMILARITY_MARGIN if strategy == SIMILARITY else 0.0
        return DynamicFilter(absolute_margin=default if margins is None else margins)

    def _check_filter(self) -> None:
        self.false_negative_filter()
        if self.filter_false_negatives is None and self.filter_margins is not None:
            raise InputError(
                expected="filter_false_negatives to say what the margins are: 'relative', 'absolute' or 'similarity'",
                got=f"filter_margins={self.filter_margins} and no filter",
                remedy="set filter_false_negatives, or leave the margins out",
            )
