"""A collection from what is already in memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import cast

import numpy as np
import pyarrow as pa

from st_mta.collections.assemble import SPLIT_NAMES, Judgements, assemble
from st_mta.errors import InputError
from st_mta.types import Collection, Qrels, Texts


def from_dictionaries(
    name: str,
    corpus: Mapping[str, str],
    queries: Mapping[str, str] | None = None,
    qrels: Qrels | Mapping[str, Qrels] | None = None,
) -> Collection:
    """Makes a collection from dictionaries.

    Args:
        name: Short name, used in file names and reports.
        corpus: Passage id -> passage.
        queries: Query id -> query; those without judgements become unlabelled training queries.
        qrels: Judgements of the training queries (query id -> passage id -> grade), or such judgements by split
            ("train", "dev", "test").

    Raises:
        InputError: If an id or text is no string, the corpus is empty, a grade is no whole number, or a judgement
            names an unknown id.

    Example:
        >>> collection = from_dictionaries("pets", {"p1": "Cats purr."}, {"q1": "Who purrs?"}, {"q1": {"p1": 1}})
        >>> collection.qrels
        {'train': {'q1': {'p1': 1}}}
    """
    return assemble(
        name=name,
        corpus=_texts(corpus, "corpus"),
        queries=_texts(queries or {}, "queries"),
        judgements={split: _judgements(rows, split) for split, rows in _by_split(qrels or {}).items()},
    )


def _texts(texts: Mapping[str, str], noun: str) -> Texts:
    for text_id, text in texts.items():
        if not isinstance(text_id, str) or not isinstance(text, str):
            raise InputError(
                expected=f"strings as ids and texts of {noun}",
                got=f"{type(text_id).__name__} {text_id!r} -> {type(text).__name__}",
                remedy="convert ids with str() and join titles to their texts",
            )
    return Texts.from_dict(texts)


def _by_split(qrels: Qrels | Mapping[str, Qrels]) -> dict[str, Qrels]:
    """Judgements by split; plain judgements, recognised by their depth, are those of train."""
    innermost = next((value for rows in qrels.values() for value in rows.values()), None)
    if not isinstance(innermost, Mapping):
        return {"train": cast(Qrels, qrels)} if qrels else {}
    return {SPLIT_NAMES.get(split, split): rows for split, rows in cast("Mapping[str, Qrels]", qrels).items()}


def _judgements(qrels: Qrels, split: str) -> Judgements:
    rows = [(query_id, passage_id, grade) for query_id, of in qrels.items() for passage_id, grade in of.items()]
    for row in rows:
        if not _is_judgement(*row):
            raise InputError(
                expected="query id and passage id as strings, and a whole number as grade",
                got=f"{row} in the judgements of {split}",
                remedy="convert ids with str() and grades to 0 (not relevant), 1, 2, ...",
            )
    query_ids, passage_ids, grades = zip(*rows) if rows else ((), (), ())
    return Judgements(
        query_ids=pa.chunked_array([query_ids], type=pa.large_string()),
        passage_ids=pa.chunked_array([passage_ids], type=pa.large_string()),
        grades=pa.chunked_array([[int(grade) for grade in grades]], type=pa.int64()),
        place=partial("row {1} of the judgements of {0}".format, split),
    )


def _is_judgement(query_id: object, passage_id: object, grade: object) -> bool:
    return (
        isinstance(query_id, str)
        and isinstance(passage_id, str)
        and isinstance(grade, (int, float, np.number))
        and float(grade).is_integer()
    )
