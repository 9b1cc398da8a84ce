"""Collections from their parts: the last step of every loader, and all of them for what is already in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

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

    def keep(self, wanted: BoolArray) -> Judgements:
        """Only the rows marked True, which keep their places."""
        numbers, mask = np.flatnonzero(wanted), pa.array(wanted)
        return Judgements(
            self.query_ids.filter(mask),
            self.passage_ids.filter(mask),
            self.grades.filter(mask),
            place=lambda row: self.place(int(numbers[row])),
        )


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
    chosen by it; elsewhere it stays and counts as 0, as in BEIR; both are noted. A judged passage that the corpus does
    not have leaves train and stays elsewhere: where it is relevant it counts as never found, as in BEIR and
    pytrec_eval. Judgements of unknown queries are skipped. Both are noted with their first place. Queries of no split
    become unlabelled training queries. Empty texts stay, and are noted.

    Args:
        name: Short name of the collection.
        corpus: The passages, titles already joined.
        queries: The queries of all splits.
        judgements: Split name -> judgement rows.
        licence: The licence of the data, where the source states one.
        notes: What the loader itself has to say.

    Raises:
        InputError: If the corpus is empty, no judgement names a known query, or a grade has a fraction.
    """
    if not len(corpus):
        raise InputError(
            expected="a corpus with at least one passage",
            got=f"an empty corpus in {name!r}",
            remedy="check that the right source was named and that its corpus is complete",
        )
    qrels: dict[str, Qrels] = {}
    remarks = [*notes, *_notes_on_empty_texts(corpus, "passage"), *_notes_on_empty_texts(queries, "query")]
    known = {split: _of_known_queries(queries, rows) for split, rows in judgements.items()}
    _refuse_only_unknown(name, judgements, known)
    for split, rows in known.items():
        remarks += _note_on_skipped(split, queries, judgements[split])
        rows, dangling = _findable(corpus, rows, split)
        qrels[split], repeated = _to_qrels(rows)
        remarks += [f"{repeated} repeated judgements in {split}; the last one counts."] if repeated else []
        remarks += [*dangling, *_settle_queries_without_positive(qrels, split)]
    remarks += notes_on_shared_queries(queries, qrels)
    unjudged = np.array(_has_words(queries))
    for rows in known.values():
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


def _of_known_queries(queries: Texts, rows: Judgements) -> Judgements:
    return rows.keep(queries.find(rows.query_ids.combine_chunks()) >= 0)


def _refuse_only_unknown(name: str, judgements: Mapping[str, Judgements], known: Mapping[str, Judgements]) -> None:
    """A few unknown queries are those that somebody left out; nothing but unknown ones are another collection's."""
    if any(map(len, known.values())) or not any(map(len, judgements.values())):
        return
    rows = next(rows for rows in judgements.values() if len(rows))
    raise InputError(
        expected=f"judgements of queries of {name!r}",
        got=f"only unknown ids, the first is the query id {rows.query_ids[0].as_py()!r} at {rows.place(0)}",
        remedy="check that queries and judgements belong together; ids are compared as strings, letter by letter",
    )


def _note_on_skipped(split: str, queries: Texts, rows: Judgements) -> list[str]:
    unknown = queries.find(rows.query_ids.combine_chunks()) < 0
    if not unknown.any():
        return []
    first = int(np.argmax(unknown))
    return [
        f"{int(unknown.sum())} judgements of {split} are of unknown queries and were skipped, "
        f"the first of the query id {rows.query_ids[first].as_py()!r} at {rows.place(first)}."
    ]


def _findable(corpus: Texts, rows: Judgements, split: str) -> tuple[Judgements, list[str]]:
    """The rows that count in a split, and a note where passages are missing from the corpus."""
    missing = corpus.find(rows.passage_ids.combine_chunks()) < 0
    if not missing.any():
        return rows, []
    first, training = int(np.argmax(missing)), split == "train"
    kept = rows.keep(~missing) if training else rows
    without = pc.count_distinct(rows.query_ids).as_py() - pc.count_distinct(kept.query_ids).as_py()
    outcome = (
        f"were left out, and with them {without} queries"
        if training
        else "stay: the relevant ones count as never found, as in BEIR"
    )
    return kept, [
        f"{int(missing.sum())} judgements of {split} are of passages that the corpus does not have and {outcome}; "
        f"the first is of the passage id {rows.passage_ids[first].as_py()!r} at {rows.place(first)}."
    ]


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
    """One sentence for each two of train, dev and test that share query texts; nothing is removed."""
    texts = {split: queries.take(queries.positions(list(qrels.get(split, {})))) for split in ("train", "dev", "test")}
    notes = []
    for split, other in (("dev", "train"), ("test", "train"), ("test", "dev")):
        known = set(texts[other])
        if shared := sum(text in known for text in texts[split]):
            notes.append(
                f"{shared} of {len(texts[split])} queries of {split} have the same text as a query of {other}."
            )
    return notes
