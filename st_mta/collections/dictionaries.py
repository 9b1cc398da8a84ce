"""Collections from dictionaries, in the forms that evaluation scripts of beir and of the host have them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pyarrow as pa

from st_mta.collections.assemble import SPLIT_NAMES, Judgements, assemble
from st_mta.errors import InputError
from st_mta.types import Collection, Judged, Texts, graded, is_grade


def from_dictionaries(
    name: str,
    corpus: Mapping[str, str | Mapping[str, str]],
    queries: Mapping[str, str] | None = None,
    qrels: Mapping[str, Judged] | Mapping[str, Mapping[str, Judged]] | None = None,
) -> Collection:
    """Makes a collection from dictionaries.

    Args:
        name: Short name, used in file names and reports.
        corpus: Passage id -> passage, or as in beir {"title": ..., "text": ...}.
        queries: Query id -> query; those without judgements become unlabelled training queries.
        qrels: Judgements of the training queries (query id -> passage id -> grade), or such judgements by split
            ("train", "dev", "test"). A set, list or tuple of passage ids instead of the innermost dictionary stands
            for grade 1, as in ``InformationRetrievalEvaluator``.

    Raises:
        InputError: If an id or text is no string, the corpus is empty, a grade is no whole number, or no judgement
            names a known query.

    Example:
        >>> collection = from_dictionaries("pets", {"p1": "Cats purr."}, {"q1": "Who purrs?"}, {"q1": {"p1": 1}})
        >>> collection.qrels
        {'train': {'q1': {'p1': 1}}}
    """
    corpus, queries, qrels = _mapping("corpus", corpus), _mapping("queries", queries), _mapping("qrels", qrels)
    return assemble(
        name=name,
        corpus=_texts({passage_id: _joined(passage) for passage_id, passage in corpus.items()}, "corpus"),
        queries=_texts(queries, "queries"),
        judgements={split: _judgements(rows, split) for split, rows in _by_split(qrels).items()},
    )


def _mapping(noun: str, given: Any) -> Mapping[str, Any]:
    """A dictionary, or what has items as one has (a pandas Series); None and an empty list are empty."""
    if not hasattr(given, "items"):
        if not given:
            return {}
        raise InputError(
            expected=f"a dictionary as {noun}", got=f"a {type(given).__name__}", remedy="write it as {id: ...}"
        )
    return given if isinstance(given, Mapping) else dict(given.items())


def _joined(passage: Any) -> Any:
    """Title and text as one, as beir joins them."""
    if not isinstance(passage, Mapping) or not isinstance(passage.get("text"), str):
        return passage
    return f"{passage.get('title') or ''} {passage['text']}".strip()


def _texts(texts: Mapping[str, str], noun: str) -> Texts:
    for text_id, text in texts.items():
        if not isinstance(text_id, str) or not isinstance(text, str):
            raise InputError(
                expected=f"strings as ids and texts of {noun}",
                got=f"{type(text_id).__name__} {text_id!r} -> {type(text).__name__}",
                remedy="convert ids with str() and join titles to their texts",
            )
        _check_unicode(noun, text_id, text)
    return Texts.from_dict(texts)


def _check_unicode(noun: str, *texts: str) -> None:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise InputError(
            expected=f"text in Unicode in {noun}",
            got=f"half a character ({error}) at {texts[0]!r}",
            remedy="clean it: text.encode(errors='replace').decode()",
        ) from error


def _by_split(qrels: Mapping[str, Any]) -> dict[str, Mapping[str, Judged]]:
    """Judgements by split; plain judgements, whose innermost values are grades or ids, are those of train."""
    innermost = [value for rows in qrels.values() if isinstance(rows, Mapping) for value in rows.values()]
    if not any(graded(value) is not None for value in innermost):
        return {"train": qrels} if qrels else {}
    by_split: dict[str, Mapping[str, Judged]] = {}
    for split, rows in qrels.items():
        name = SPLIT_NAMES.get(split.lower(), split)
        if name in by_split:
            raise InputError(
                expected="each split once",
                got=f"{name!r} under two names, one of them {split!r}",
                remedy="put the judgements of a split together",
            )
        by_split[name] = rows
    return by_split


def _judgements(qrels: Mapping[str, Judged], split: str) -> Judgements:
    rows = [(query_id, *judged) for query_id, of in qrels.items() for judged in _grades(query_id, of, split).items()]
    for row in rows:
        if not _is_judgement(*row):
            raise InputError(
                expected="query id and passage id as strings, and a whole number below 2**53 as grade",
                got=f"{row} in the judgements of {split}",
                remedy="convert ids with str() and grades to 0 (not relevant), 1, 2, ...",
            )
        _check_unicode(f"the judgements of {split}", *row[:2])
    return Judgements(
        query_ids=pa.chunked_array([[row[0] for row in rows]], type=pa.large_string()),
        passage_ids=pa.chunked_array([[row[1] for row in rows]], type=pa.large_string()),
        grades=pa.chunked_array([[int(row[2]) for row in rows]], type=pa.int64()),
        place=partial("row {1} of the judgements of {0}".format, split),
    )


def _grades(query_id: object, judged: Judged, split: str) -> Mapping[str, int]:
    grades = graded(judged)
    if grades is None:
        raise InputError(
            expected="passage id -> grade, or a set or list of passage ids, for every query",
            got=f"{query_id!r} -> {judged!r} in the judgements of {split}",
            remedy="write {query_id: {passage_id: 1}}",
        )
    return grades


def _is_judgement(query_id: object, passage_id: object, grade: object) -> bool:
    return isinstance(query_id, str) and isinstance(passage_id, str) and is_grade(grade)
