"""Options of queries that are made from passages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from st_mta.errors import InputError
from st_mta.options import option
from st_mta.ranges import count_from
from st_mta.training.options.groups import CANDIDATES


@dataclass(kw_only=True)
class QueryOptions:
    """What makes training queries, and which are kept."""

    num_crops: int = option(
        4000,
        within=count_from(1),
        group=CANDIDATES,
        help="Training queries cropped from passages where the collection brings none, or made by query_generator.",
    )
    query_generator: str | None = option(
        None,
        group=CANDIDATES,
        help="Make training queries from passages, besides those of the collection: a sequence-to-sequence model (a "
        "folder or Hub id), your own module:function (passages -> a list of queries for each), or a file of generated "
        "queries (.jsonl, .tsv, .parquet with passage id and query).",
    )
    query_generator_options: dict[str, Any] | None = option(
        None,
        group=CANDIDATES,
        help="How that model generates, as JSON: prompt (with {passage} in it), beams, temperature, top_k, top_p, "
        "max_new_tokens, max_length, batch_size. None samples with top_k 25 and top_p 0.95.",
    )
    queries_per_passage: int | None = option(
        None, within=count_from(1), group=CANDIDATES, help="Queries generated from a passage at most; None is 3."
    )
    round_trip: int | None = option(
        None,
        within=count_from(0),
        group=CANDIDATES,
        help="Keep a generated query only where its passage is among so many that round_trip_with finds; 0 keeps all, "
        "None is 20.",
    )
    round_trip_with: str | None = option(
        None, group=CANDIDATES, help="The retriever for that, named like an assistant; None is bm25."
    )

    def _check_generation(self) -> None:
        names = ("query_generator_options", "queries_per_passage", "round_trip", "round_trip_with")
        given = [name for name in names if getattr(self, name) is not None]
        if self.query_generator is None and given:
            raise InputError(
                expected="query_generator to say what makes the queries",
                got=f"{given[0]}={getattr(self, given[0])!r} and no query_generator",
                remedy=f"set query_generator, or leave {given[0]} out",
            )
