"""The forms in which scores of query and passages are published, each as SQL over the columns of its records.

A record becomes a query and equally long lists of its passages, their scores and their grades. Expressions are written
in the SQL of DuckDB over the columns of the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from st_mta.collections.records import PASSAGE_IDS, QUERY_IDS, plain_key
from st_mta.collections.score_files.sql import sql_name

TEXT, TEXTS, NUMBER, NUMBERS = "VARCHAR", "VARCHAR[]", "DOUBLE", "DOUBLE[]"
PASSAGES = "STRUCT(docid VARCHAR, title VARCHAR, text VARCHAR, score DOUBLE)[]"
Record = Mapping[str, Any]
JUDGED = ("score", "scores", "label", "labels")
"""Names of columns with numbers, without case, "-", "_" and blanks."""


@dataclass(frozen=True)
class Columns:
    """What the columns of a file mean.

    Attributes:
        types: Column -> type that it is read as; columns that are not there are NULL.
        query: Text of the query, "NULL" where a file has only its id.
        query_id: Its id, "NULL" where it has none.
        passages: List of texts, or "NULL".
        passage_ids: List of ids, or "NULL".
        titles: List of titles, or "NULL".
        scores: List of scores, or NULL in a record without any.
        grades: List of grades, NULL where nothing is known.
        checks: Condition -> what is expected of every record.
    """

    types: Mapping[str, str]
    query: str = "NULL"
    query_id: str = "NULL"
    passages: str = "NULL"
    passage_ids: str = "NULL"
    titles: str = "NULL"
    scores: str = "NULL"
    grades: str = "NULL"
    checks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Form:
    """A form of records.

    Attributes:
        example: What a record looks like, for messages.
        read: What the columns mean, from the first record; None where it is not of this form.
    """

    example: str
    read: Callable[[Record], Columns | None]


def read_pylate(record: Record) -> Columns | None:
    """``query_id``, ``document_ids`` and ``scores``, as PyLate and LightOn publish them; texts are elsewhere."""
    query, documents, scores = (
        _named(record, names) for names in (QUERY_IDS[1:], [f"{name}s" for name in PASSAGE_IDS], ("scores",))
    )
    if query is None or documents is None or scores is None:
        return None
    types = {query: TEXT, documents: TEXTS, scores: NUMBERS}
    return Columns(types, query_id=sql_name(query), passage_ids=sql_name(documents), scores=sql_name(scores))


def read_flag_embedding(record: Record) -> Columns | None:
    """``query``, ``pos`` and ``neg`` with ``pos_scores`` and ``neg_scores``, as FlagEmbedding trains on them."""
    if not {"query", "pos"} <= record.keys():
        return None
    types = {"query": TEXT, "pos": TEXTS, "neg": TEXTS, "pos_scores": NUMBERS, "neg_scores": NUMBERS}
    lengths = "(pos_scores IS NULL AND neg_scores IS NULL) OR (coalesce(len({0}), 0) = coalesce(len({0}_scores), 0))"
    return Columns(
        types,
        query="query",
        passages="list_concat(pos, neg)",
        scores="CASE WHEN coalesce(pos_scores, neg_scores) IS NOT NULL THEN list_concat(pos_scores, neg_scores) END",
        grades="list_concat(list_resize([]::BIGINT[], len(pos), 1), list_resize([]::BIGINT[], len(neg), 0))",
        checks={
            "pos IS NOT NULL": 'a list "pos"',
            lengths.format("pos"): "one of pos_scores for each of pos",
            lengths.format("neg"): "one of neg_scores for each of neg",
        },
    )


def read_tevatron(record: Record) -> Columns | None:
    """``query`` with ``positive_passages`` and ``negative_passages``, as Tevatron trains on them."""
    if not {"query", "positive_passages"} <= record.keys():
        return None
    both = "list_concat(positive_passages, negative_passages)"
    counts = "len(positive_passages), 1", "len(negative_passages), 0"
    grades = [f"list_resize([]::BIGINT[], {count})" for count in counts]
    return Columns(
        {"query_id": TEXT, "query": TEXT, "positive_passages": PASSAGES, "negative_passages": PASSAGES},
        query="query",
        query_id="query_id",
        passages=f"[x.text for x in {both}]",
        passage_ids=f"[x.docid for x in {both}]",
        titles=f"[x.title for x in {both}]",
        scores=f"[x.score for x in {both}]",
        grades=f"list_concat({', '.join(grades)})",
        checks={"positive_passages IS NOT NULL": 'a list "positive_passages"'},
    )


def read_tuples(record: Record) -> Columns | None:
    """Columns anchor, positive, negative or negative_1, negative_2, ..., and perhaps ``scores``, as the host mines.

    A column of negatives may hold a list of them. A record may have fewer columns of negatives than others, at least
    the first.
    """
    negatives, texts = _negatives(record), _two_texts(record)
    scores = _named(record, ("scores", "score", "labels", "label"))
    if not negatives or texts is None or isinstance(record[texts[1]], list):
        return None
    kinds = {name: TEXTS if isinstance(record[name], list) else TEXT for name in negatives}
    query, positive = map(sql_name, texts)
    lists = (_without_missing(sql_name(name), kind) for name, kind in kinds.items())
    passages = f"flatten([[{positive}], {', '.join(lists)}])"
    return Columns(
        {**dict.fromkeys(texts, TEXT), **kinds, **({scores: NUMBERS} if scores else {})},
        query=query,
        passages=passages,
        scores=sql_name(scores) if scores else "NULL",
        grades=f"list_resize([1]::BIGINT[], len({passages}), 0)",
        checks={_without_gaps([sql_name(name) for name in negatives]): "a list of passages, none of them missing"},
    )


def read_lists(record: Record) -> Columns | None:
    """A query, a list of passages, and lists ``labels`` or ``scores`` or both, as the host's labeled lists."""
    texts, labels, scores = _two_texts(record), _named(record, ("labels",)), _named(record, ("scores",))
    if texts is None or _negatives(record) or not isinstance(record[texts[1]], list) or not (labels or scores):
        return None
    query, passages = map(sql_name, texts)
    return Columns(
        {texts[0]: TEXT, texts[1]: TEXTS, **dict.fromkeys(filter(None, (labels, scores)), NUMBERS)},
        query=query,
        passages=passages,
        scores=sql_name(scores) if scores else "NULL",
        grades=f"{sql_name(labels)}::BIGINT[]" if labels else "NULL",
        checks=_whole(sql_name(labels)) if labels else {},
    )


def read_pairs(record: Record) -> Columns | None:
    """A query, one passage, and ``label`` or ``score`` or both, as the host's labeled pairs."""
    texts, label, score = _two_texts(record), _named(record, ("label",)), _named(record, ("score",))
    if texts is None or _negatives(record) or isinstance(record[texts[1]], list) or not (label or score):
        return None
    query, passage = map(sql_name, texts)
    return Columns(
        {**dict.fromkeys(texts, TEXT), **dict.fromkeys(filter(None, (label, score)), NUMBER)},
        query=query,
        passages=f"list_value({passage})",
        scores=f"list_value({sql_name(score)})" if score else "NULL",
        grades=f"list_value({sql_name(label)}::BIGINT)" if label else "NULL",
        checks=_whole(f"list_value({sql_name(label)})") if label else {},
    )


def read_scores(record: Record) -> Columns | None:
    """Columns ``query_id``, ``passage_id`` and ``score``."""
    query, passage, score = (_named(record, names) for names in (QUERY_IDS[1:], PASSAGE_IDS[1:], ("score",)))
    if query is None or passage is None or score is None:
        return None
    return Columns(
        {query: TEXT, passage: TEXT, score: NUMBER},
        query_id=sql_name(query),
        passage_ids=f"list_value({sql_name(passage)})",
        scores=f"list_value({sql_name(score)})",
    )


FORMS: dict[str, Form] = {
    "pylate": Form('{"query_id": ..., "document_ids": [...], "scores": [...]}', read_pylate),
    "flagembedding": Form(
        '{"query": ..., "pos": [...], "neg": [...], "pos_scores": [...], "neg_scores": [...]}', read_flag_embedding
    ),
    "tevatron": Form(
        '{"query_id": ..., "query": ..., "positive_passages": [{"docid": ..., "title": ..., "text": ..., '
        '"score": ...}], "negative_passages": [...]}',
        read_tevatron,
    ),
    "tuples": Form('{"anchor": ..., "positive": ..., "negative_1": ..., "scores": [...]}', read_tuples),
    "lists": Form('{"query": ..., "passages": [...], "labels": [...], "scores": [...]}', read_lists),
    "pairs": Form('{"query": ..., "passage": ..., "label": 1, "score": ...}', read_pairs),
    "scores": Form('{"query_id": ..., "passage_id": ..., "score": ...}', read_scores),
}
"""Forms of records by name; the first that fits is taken."""


def _named(record: Record, names: Any) -> str | None:
    """The column of the first of these names, without case, "-", "_" and blanks."""
    plain = {plain_key(column): column for column in reversed(list(record))}
    return next((plain[name] for name in map(plain_key, names) if name in plain), None)


def _negatives(record: Record) -> list[str]:
    """The columns of negatives by their numbers; none where there are columns of their scores or ids beside them."""
    names = [name for name in record if plain_key(name).startswith("negative")]
    if any(plain_key(name).endswith((*JUDGED, "id", "ids")) for name in names):
        return []
    return sorted(names, key=lambda name: int((re.findall(r"[0-9]+$", name) or ["0"])[0]))


def _without_missing(negatives: str, kind: str) -> str:
    """A list of the negatives of a column, empty where a record has none."""
    return f"coalesce({negatives}, [])" if kind == TEXTS else f"[x for x in [{negatives}] if x IS NOT NULL]"


def _without_gaps(negatives: list[str]) -> str:
    """Whether there is a first one and none is missing between two others."""
    pairs = (f"({one} IS NOT NULL OR {other} IS NULL)" for one, other in pairwise(negatives))
    return " AND ".join((f"{negatives[0]} IS NOT NULL", *pairs))


def _two_texts(record: Record) -> tuple[str, str] | None:
    """The two columns beside ids, negatives and numbers, the query first: the host goes by places too."""
    others = (*JUDGED, *QUERY_IDS, *PASSAGE_IDS)
    columns = [name for name in record if plain_key(name) not in others and not plain_key(name).startswith("negative")]
    return (columns[0], columns[1]) if len(columns) == 2 and isinstance(record[columns[0]], str) else None


def _whole(labels: str) -> dict[str, str]:
    """A label is a grade; a score by that name would make judgements of what a model thinks."""
    condition = f"len([x for x in {labels} if x <> round(x) OR abs(x) >= 9007199254740992]) = 0"
    return {condition: "whole numbers as labels (scores belong into a column of that name)"}
