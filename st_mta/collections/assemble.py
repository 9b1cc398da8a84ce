"""Collections from their parts: the last step of every loader, and all of them for what is already in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from st_mta.errors import InputError
from st_mta.types import BoolArray, Collection, IntArray, Qrels, Texts, by_query

# Other names in use for our three splits.
SPLIT_NAMES = {"training": "train", "validation": "dev", "valid": "dev", "val": "dev", "development": "dev"}


@dataclass(frozen=True)
class Judgements:
    """The judgement rows of one split, as columns.

    Attributes:
        query_ids: (R,) strings.
        passage_ids: (R,) strings.
        grades: (R,) integers, or floats without a fraction.
        place: Names the place of a row for an error message, as ``qrels/test.tsv:7``.
    """

    query_ids: pa.ChunkedArray
    passage_ids: pa.ChunkedArray
    grades: pa.ChunkedArray
    place: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.query_ids)


def assemble(
    name: str,
    corpus: Texts,
    queries: Texts,
    judgements: Mapping[str, Judgements],
    licence: str | None = None,
    notes: Iterable[str] = (),
) -> Collection:
    """Checks the parts of a collection against each other and puts them together.

    Grades below 0 become 0. A query without a relevant passage leaves train and dev, since nothing can be learnt or
    chosen by it; elsewhere it stays and counts as 0, as in BEIR; both are noted. Queries of no split become unlabelled
    training queries. Empty texts stay, and are noted.

    Args:
        name: Short name of the collection.
        corpus: The passages, titles already joined.
        queries: The queries of all splits.
        judgements: Split name -> judgement rows.
        licence: The licence of the data, where the source states one.
        notes: What the loader itself has to say.

    Raises:
        InputError: If the corpus is empty, a judgement names an unknown query or passage, or a grade has a fraction.
    """
    if not len(corpus):
        raise InputError(
            expected="a corpus with at least one passage",
            got=f"an empty corpus in {name!r}",
            remedy="check that the right source was named and that its corpus is complete",
        )
    qrels: dict[str, Qrels] = {}
    remarks = [*notes, *_notes_on_empty_texts(corpus, "passage"), *_notes_on_empty_texts(queries, "query")]
    for split, rows in judgements.items():
        _check_known(queries, rows.query_ids, rows, "query")
        _check_known(corpus, rows.passage_ids, rows, "passage")
        qrels[split], repeated = _to_qrels(rows)
        remarks += [f"{repeated} repeated judgements in {split}; the last one counts."] if repeated else []
        remarks += _settle_queries_without_positive(qrels, split)
    remarks += notes_on_shared_queries(queries, qrels)
    unjudged = np.array(_has_words(queries))
    for rows in judgements.values():
        unjudged[queries.find(rows.query_ids.unique().to_pylist())] = False
    return Collection(name, corpus, queries, qrels, np.flatnonzero(unjudged).astype(np.int64), licence, tuple(remarks))


def joined_texts(titles: pa.ChunkedArray | None, texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Title and text as one passage, ``(title + " " + text).strip()`` as in BEIR.

    Chunks without titles and without surrounding space stay as they are, memory-mapped where they were.
    """
    if titles is None or not pc.any(pc.greater(pc.binary_length(titles), 0)).as_py():
        return pa.chunked_array([_stripped(chunk) for chunk in texts.chunks], type=texts.type)
    kind = pa.large_string()  # 64-bit offsets, since the joined column may exceed 2 GiB
    titles = pc.fill_null(titles.cast(kind), "")
    return pc.utf8_trim_whitespace(pc.binary_join_element_wise(titles, texts.cast(kind), pa.scalar(" ", kind)))


def _stripped(chunk: pa.Array) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(chunk)
    unchanged = pc.sum(pc.binary_length(trimmed)).as_py() == pc.sum(pc.binary_length(chunk)).as_py()
    return chunk if unchanged else trimmed


def _check_known(texts: Texts, ids: pa.ChunkedArray, rows: Judgements, noun: str) -> None:
    unknown = texts.find(ids.to_pylist()) < 0
    if not unknown.any():
        return
    first = int(np.argmax(unknown))
    raise InputError(
        expected=f"judgements of known {noun} ids only",
        got=f"the {noun} id {ids[first].as_py()!r} at {rows.place(first)} ({int(unknown.sum())} such rows)",
        remedy=f"add the {noun} or remove the row; ids are compared as strings, letter by letter",
    )


def _to_qrels(rows: Judgements) -> tuple[Qrels, int]:
    """Query id -> passage id -> grade, and the number of rows that repeat an earlier pair."""
    grades = np.maximum(_whole_numbers(rows), 0).tolist()
    qrels = by_query(rows.query_ids.to_pylist(), rows.passage_ids.to_pylist(), grades)
    return qrels, len(rows) - sum(map(len, qrels.values()))


def _whole_numbers(rows: Judgements) -> IntArray:
    """(R,) grades as integers; some publishers store them as floats."""
    if pa.types.is_integer(rows.grades.type) and not rows.grades.null_count:
        return np.asarray(rows.grades.to_numpy(), dtype=np.int64)
    grades = np.asarray(rows.grades.cast(pa.float64()).to_numpy(), dtype=np.float64)
    fractional = ~(np.isfinite(grades) & (grades == np.round(grades)))
    if fractional.any():
        first = int(np.argmax(fractional))
        raise InputError(
            expected="whole numbers as grades",
            got=f"{rows.grades[first].as_py()!r} at {rows.place(first)}",
            remedy="map the grades to 0 (not relevant), 1, 2, ...",
        )
    return grades.astype(np.int64)


def _settle_queries_without_positive(qrels: dict[str, Qrels], split: str) -> list[str]:
    """Takes them out of train and dev; a published mean over any other split counts them."""
    answerable = {query_id: grades for query_id, grades in qrels[split].items() if max(grades.values()) > 0}
    others = len(qrels[split]) - len(answerable)
    if not others:
        return []
    if split not in ("train", "dev"):
        return [f"{others} queries of {split} have no relevant passage and count as 0, as in BEIR."]
    qrels[split] = answerable
    return [f"{others} queries of {split} have no relevant passage and were left out."]


def _notes_on_empty_texts(texts: Texts, noun: str) -> list[str]:
    empty = int((~_has_words(texts)).sum())
    return [f"{empty} {noun} texts are empty and were kept."] if empty else []


def _has_words(texts: Texts) -> BoolArray:
    """(T,) False where a text is empty or nothing but space."""
    return np.asarray(pc.match_substring_regex(texts.column, r"\S").to_numpy(), dtype=np.bool_)


def notes_on_shared_queries(queries: Texts, qrels: Mapping[str, Qrels]) -> list[str]:
    """One sentence for each of dev and test that shares query texts with train; nothing is removed."""
    notes = []
    train = set(queries.take(queries.positions(list(qrels.get("train", {})))))
    for split in ("dev", "test"):
        texts = queries.take(queries.positions(list(qrels.get(split, {}))))
        if shared := sum(text in train for text in texts):
            notes.append(f"{shared} of {len(texts)} queries of {split} have the same text as a query of train.")
    return notes


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
    rows = [(query_id, *judged) for query_id, of in qrels.items() for judged in of.items()]
    for row in rows:
        if not _is_judgement(*row):
            raise InputError(
                expected="query id and passage id as strings, and a whole number as grade",
                got=f"{row} in the judgements of {split}",
                remedy="convert ids with str() and grades to 0 (not relevant), 1, 2, ...",
            )
    return Judgements(
        query_ids=pa.chunked_array([[row[0] for row in rows]], type=pa.large_string()),
        passage_ids=pa.chunked_array([[row[1] for row in rows]], type=pa.large_string()),
        grades=pa.chunked_array([[int(row[2]) for row in rows]], type=pa.int64()),
        place=partial("row {1} of the judgements of {0}".format, split),
    )


def _is_judgement(query_id: object, passage_id: object, grade: object) -> bool:
    ids = isinstance(query_id, str) and isinstance(passage_id, str)
    return ids and isinstance(grade, (int, float, np.number)) and float(grade).is_integer()
