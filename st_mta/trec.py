"""TREC files: runs (``query_id Q0 passage_id rank score tag`` and their relatives) and judgements (qrels)."""

from __future__ import annotations

import csv
import json
import logging
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from st_mta.atomic import atomic_path
from st_mta.errors import InputError
from st_mta.lines import opened, read_lines, refuse_line, refuse_no_file
from st_mta.types import IntArray, Qrels, Run, by_query, numbers_within

logger = logging.getLogger(__name__)

RUN_SUFFIXES = (".trec", ".run", ".res", ".txt", ".tsv", ".json", ".parquet")
"""Endings of run files, in any case and with or without ``.gz``; all but the last two hold lines of text."""
COLUMNS = ("query_id", "passage_id", "score")
TREC, RANK_OR_SCORE = "query_id Q0 passage_id rank score tag", "query_id passage_id score"
TREC_QRELS, BEIR_QRELS = "query_id 0 passage_id grade", "query_id passage_id grade"
WANTED_ORDER = (*COLUMNS, "grade")
WANTED = {*WANTED_ORDER}
SEPARATORS = {"\t": "tabs", "": "white space", ",": "commas", ";": "semicolons"}
# What headers call the columns, without case, quotes, "-", "_" and blanks.
HEADERS_OF = {
    "query_id": ("queryid", "qid", "query", "topicid", "topic"),
    "passage_id": ("corpusid", "docid", "docno", "doc", "documentid", "document", "pid", "passageid", "passage"),
    "grade": ("score", "grade", "relevance", "rel", "label", "judgment", "judgement"),
}
HEADERS = {header: name for name, headers in HEADERS_OF.items() for header in headers}
QRELS = pa.schema({"query": pa.large_string(), "passage": pa.large_string(), "grade": pa.int64(), "line": pa.int64()})
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
ASCENDING = (
    "%s: the third column grows from row to row of every query as ranks do, but does not count 1, 2, 3, ...; it is "
    "read as scores, so that every query's last passage is its best. Number the ranks without gaps if it holds ranks."
)
LARGEST = float(np.finfo(np.float32).max)
ODD = re.compile("[\\s\\0\ufeff]")
ESCAPED = "%%"
"""Begins an id that is empty or has white space, and which follows percent-encoded: "a b" is written ``%%a%20b``."""


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of a run.

    Attributes:
        lines: (n,) line numbers from 1; row numbers in JSON and Parquet.
        query_ids: Strings.
        passage_ids: Strings.
        scores: (n,) float64, finite in single precision too.
    """

    lines: IntArray
    query_ids: pa.Array
    passage_ids: pa.Array
    scores: npt.NDArray[np.float64]


def read_run(path: str | Path) -> Run:
    """Reads a run; ranks and tags are dropped, scores stay as written.

    Args:
        path: A file as [`read_rows`] takes it.

    Returns:
        Query id -> passage id -> score, in the order of the file.

    Raises:
        InputError: As [`read_rows`] does, and if a pair occurs twice, naming both lines.
    """
    run: Run = {}
    for rows in read_rows(path):
        passage_ids, scores = rows.passage_ids.to_pylist(), rows.scores.tolist()
        changes = pc.not_equal(rows.query_ids[1:], rows.query_ids[:-1]).to_numpy(zero_copy_only=False)
        starts = [0, *(np.flatnonzero(changes) + 1).tolist(), len(scores)]
        for start, end in zip(starts, starts[1:]):
            passages = run.setdefault(query_id := rows.query_ids[start].as_py(), {})
            expected = len(passages) + end - start
            passages.update(zip(passage_ids[start:end], scores[start:end]))
            if len(passages) < expected:
                refuse_repeated(Path(path), query_id)
    return run


def read_rows(path: str | Path) -> Iterator[Rows]:
    """The rows of a run, block by block.

    The ending says the format: ``.parquet`` has the columns query_id, passage_id and score; ``.json`` is beir's
    ``{query_id: {passage_id: score}}``; everything else is text in UTF-8, with white space between columns: the six
    of TREC (the tag may contain blanks), or query, passage and a third. The third column is a rank, as in MS MARCO's
    files, where it counts 1, 2, 3, ... (or from 0) for every query in the order of the file, and rank r then scores
    -r; otherwise it is a score (with a warning where it grows as ranks do, but with gaps). All but Parquet may be
    compressed with gzip.

    Raises:
        InputError: If there is no such file, it is no text in UTF-8, a row is malformed, or its score is no number or
            infinite in single precision; with file and line.
    """
    path = Path(path)
    refuse_no_file(path)
    readers = {".parquet": _parquet_rows, ".json": _json_rows}
    return readers.get(Path(path.name.lower().removesuffix(".gz")).suffix, _text_rows)(path)


def is_run_file(name: str) -> bool:
    """Whether a name ends as run files do."""
    return name.lower().removesuffix(".gz").endswith(RUN_SUFFIXES)


def refuse_repeated(path: Path, query_id: str) -> None:
    """Raises ``InputError`` for the query's first repeated passage, with both lines; reads the run again for them."""
    seen: dict[str, int] = {}
    for rows in read_rows(path):
        wanted = pc.equal(rows.query_ids, query_id)
        lines = rows.lines[wanted.to_numpy(zero_copy_only=False)].tolist()
        for passage_id, line in zip(rows.passage_ids.filter(wanted).to_pylist(), lines):
            if passage_id in seen:
                got = f"passage {passage_id!r} for query {query_id!r}, which line {seen[passage_id]} has too,"
                refuse_line(path, line, "each pair once", got)
            seen[passage_id] = line


def _text_rows(path: Path) -> Iterator[Rows]:
    blocks = read_lines(path)
    form = ""
    for numbers, lines in blocks:
        form = form or (RANK_OR_SCORE if len(lines[0].as_py().encode().split()) == 3 else TREC)
        if form == RANK_OR_SCORE:  # what the third column is, only the whole file says
            parts = list(zip((numbers, lines), *blocks))
            numbers, lines = np.concatenate(parts[0]), pa.concat_arrays(parts[1])
        query_ids, passage_ids, words = _columns(path, numbers, lines, form)
        scores = _numbers(words)
        _check_scores(path, numbers, lines, scores)
        if form == RANK_OR_SCORE:
            groups = query_ids.dictionary_encode().indices.to_numpy()
            ranks = _places_within(groups)
            counted = np.array_equal(scores, ranks) or np.array_equal(scores, ranks - 1)
            if not counted and _ascend(scores, groups):
                logger.warning(ASCENDING, path)
            scores = -ranks if counted else scores
        yield Rows(numbers, query_ids, passage_ids, scores)


def _columns(path: Path, numbers: IntArray, lines: pa.Array, form: str, separator: str = "") -> list[pa.Array]:
    """The ids, and the words for score or grade, from lines of a form such as "query_id passage_id score"."""
    words = _split(lines, separator)
    count, names = pc.list_value_length(words).to_numpy(zero_copy_only=False), form.split()
    longer = count > len(names)
    if form == TREC and longer.any():
        # Blanks in the tag do no harm; blanks in an id shift the columns, so that no rank or a second number follows.
        rank, after = (_numbers(pc.list_element(words.filter(pa.array(longer)), column)) for column in (3, 5))
        longer[longer] = (rank != np.trunc(rank)) | ~np.isnan(after)
    expected = f"{form} in columns separated by {SEPARATORS[separator]}"
    _check_rows(path, numbers, lines, longer | (count < len(names)), expected)
    columns = [pc.list_element(words, names.index(name)) for name in sorted(WANTED & {*names}, key=WANTED_ORDER.index)]
    query_ids, passage_ids, last = map(_unquoted, columns) if separator == "\t" else columns
    empty = pc.or_(pc.equal(query_ids, ""), pc.equal(passage_ids, "")).to_numpy(zero_copy_only=False)
    _check_rows(path, numbers, lines, empty, "ids that are not empty")
    return [_restored(query_ids), _restored(passage_ids), last]


def _split(lines: pa.Array, separator: str) -> pa.Array:
    """The words of each line; between commas they may be quoted as csv quotes them."""
    if not separator:
        return pc.ascii_split_whitespace(pc.ascii_ltrim_whitespace(lines))
    if separator == "\t" or not pc.any(pc.match_substring(lines, '"')).as_py():
        return pc.split_pattern(lines, separator)
    rows = [next(csv.reader([line], delimiter=separator)) for line in lines.to_pylist()]
    return pa.array(rows, pa.large_list(pa.large_string()))


def _places_within(groups: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(n,) 1, 2, 3, ... within every group, in order."""
    places = np.empty(len(groups))
    places[np.argsort(groups, kind="stable")] = numbers_within(np.bincount(groups)) + 1
    return places


def _ascend(scores: npt.NDArray[np.float64], groups: npt.NDArray[Any]) -> bool:
    """Whether whole numbers grow from row to row of every group, as ranks do and scores hardly ever."""
    order = np.argsort(groups, kind="stable")
    steps = np.diff(scores[order])[np.diff(groups[order]) == 0]
    return len(steps) > 0 and bool((steps > 0).all() and (scores == np.trunc(scores)).all())


def _json_rows(path: Path) -> Iterator[Rows]:
    form = "{query_id: {passage_id: score}}"
    try:
        with opened(path) as file:
            results = json.loads(file.read(), object_pairs_hook=_unique, parse_int=float)
        rows = [(query_id, *pair) for query_id, passages in results.items() for pair in passages.items()]
        ids = [pa.array([row[column] for row in rows], pa.large_string()) for column in (0, 1)]
    except (ValueError, AttributeError, EOFError, OSError, zlib.error) as error:
        refuse_line(path, getattr(error, "lineno", 1), form, f"{type(error).__name__} ({error})")
    scores = np.array([score if isinstance(score, float) else np.nan for _, _, score in rows])
    numbers = np.arange(1, len(rows) + 1)
    _check_scores(path, numbers, rows, scores)
    if rows:
        yield Rows(numbers, ids[0], ids[1], scores)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        raise ValueError(f"{Counter(key for key, _ in pairs).most_common(1)[0][0]!r} twice")
    return unique


def _parquet_rows(path: Path) -> Iterator[Rows]:
    end = 1
    for batch in read_parquet(path, COLUMNS):
        query_ids, passage_ids, scores = batch.columns
        known = pc.and_(query_ids.is_valid(), passage_ids.is_valid())
        scores = pc.if_else(known, scores, None).to_numpy(zero_copy_only=False)
        numbers = np.arange(end, end + len(batch))
        end += len(batch)
        _check_scores(path, numbers, batch.to_struct_array(), scores)
        yield Rows(numbers, query_ids, passage_ids, scores)


def read_parquet(path: Path, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """These columns of a Parquet file in this order, ids as strings, block by block.

    Raises:
        InputError: If there is no such file, or it is no Parquet file with these columns.
    """
    refuse_no_file(path)
    schema = pa.schema([(name, pa.float64() if name == "score" else pa.large_string()) for name in columns])
    try:
        with opened(path) as file:
            for batch in pq.ParquetFile(file).iter_batches(batch_size=2**22, columns=list(columns)):
                yield batch.select(list(columns)).cast(schema)
    except (pa.ArrowException, KeyError, OSError) as error:
        raise InputError(
            expected=f"a Parquet file with the columns {', '.join(columns)} at {path}",
            got=str(error),
            remedy="rename its columns, or write it again",
        ) from error


def _numbers(words: pa.Array) -> npt.NDArray[np.float64]:
    """(n,) the numbers, NaN where a word is none."""
    try:
        return np.asarray(pc.cast(words, pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:  # rare, so that a loop does no harm
        return np.array([float(word) if NUMBER.fullmatch(word) else np.nan for word in words.to_pylist()])


def _check_scores(path: Path, numbers: IntArray, rows: Any, scores: npt.NDArray[np.float64]) -> None:
    _check_rows(path, numbers, rows, ~(np.abs(scores) <= LARGEST), "a number that fits single precision as score")


def _check_rows(path: Path, numbers: IntArray, rows: Any, wrong: npt.NDArray[np.bool_], expected: str) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        refuse_line(path, int(numbers[row]), expected, repr(str(rows[row])[:200]))


def _restored(words: pa.Array) -> pa.Array:
    """Ids as they were before [`_escaped`]."""
    if not pc.any(pc.starts_with(words, ESCAPED)).as_py():
        return words
    return pa.array([_unescaped(word) for word in words.to_pylist()], words.type)


def _unescaped(word: str) -> str:
    # Whatever the writer would have written otherwise is no escape, but an id that happens to begin like one.
    text = unquote(word.removeprefix(ESCAPED))
    return text if word.startswith(ESCAPED) and _escaped(text) == word else word


def _escaped(text: str) -> str:
    if text and not text.startswith(ESCAPED) and not ODD.search(text):
        return text
    return ESCAPED + re.sub(r"%|" + ODD.pattern, lambda odd: quote(odd[0]), text)


def write_run(path: str | Path, run: Run, tag: str) -> None:
    """Writes a run so that reading it gives back the same ids and scores, bit for bit.

    Passages are ranked by score; equal scores keep the order they have in the run (a ``Retrieved`` puts the lower
    corpus position first). trec_eval and ``evaluate_run`` look at the scores and ids only, not at the rank.

    Args:
        path: The file to write; it appears whole or not at all.
        run: Scores of one system.
        tag: Name of the system; blanks in it become underscores.

    Raises:
        InputError: If a score is no number or infinite in single precision.
    """
    tag = "_".join(tag.split()) or "run"
    with atomic_path(Path(path)) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        for query_id, passages in run.items():
            file.writelines(_lines(query_id, passages, tag))


def _lines(query_id: str, passages: dict[str, float], tag: str) -> list[str]:
    scores = np.fromiter(passages.values(), np.float64, len(passages))
    wrong = ~(np.abs(scores) <= LARGEST)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            expected="a number that fits single precision as score",
            got=f"{scores[row]} for query {query_id!r}, passage {list(passages)[row]!r}",
            remedy="leave passages without a score out of the run",
        )
    order = np.argsort(-scores, kind="stable")  # ties keep their order
    together = "".join(passages)
    plain = all(passages) and ESCAPED not in together and not ODD.search(together)  # faster than one by one
    ids, start = list(passages) if plain else list(map(_escaped, passages)), f"{_escaped(query_id)} Q0 "
    ranking = enumerate(zip(order.tolist(), scores[order].tolist()), start=1)
    return [f"{start}{ids[row]} {rank} {score!r} {tag}\n" for rank, (row, score) in ranking]


def read_qrels(path: Path) -> Qrels:
    """Reads judgements as [`qrels_table`] does; of a pair judged twice the last grade counts."""
    table = qrels_table(path)
    return by_query(*(table[column].to_pylist() for column in QRELS.names[:3]))


def qrels_table(path: Path) -> pa.Table:
    """Reads the columns ``query``, ``passage``, ``grade`` and ``line`` (its number) of a file of judgements.

    The first row says which form the file has: BEIR's query, passage and grade, or TREC's query, 0, passage and
    grade; separated by tabs (fields may be quoted as csv does) or, where that does not make three or four columns,
    by white space, commas or semicolons; in a file called ``.csv`` these come first. A first row without a digit in
    its last column is a header; where it names query, passage and grade, it also says where they stand.

    Raises:
        InputError: If there is no such file, it is no text in UTF-8, a row has other columns than the first, or its
            grade is no whole number below 2**53; with file and line.
    """
    refuse_no_file(path)
    tables, form, separator, header = [QRELS.empty_table()], "", "", 0
    for numbers, lines in read_lines(path):
        if not form:
            form, separator, header = _qrels_form(path, lines[0].as_py())
        tables.append(_judgements(path, numbers[header:], lines[header:], form, separator))
        header = 0
    return pa.concat_tables(tables)


def _qrels_form(path: Path, first: str) -> tuple[str, str, int]:
    """The columns and what separates them, and 1 where this first row is a header."""
    order = (",", ";", "\t", "") if re.search(r"(?i)\.csv(\.gz)?$", path.name) else ("\t", "", ",", ";")
    for separator in order:
        fields = _split(pa.array([first], pa.large_string()), separator)[0].as_py()
        if named := _named_columns(fields):
            return named, separator, 1
        if len(fields) in (3, 4):
            header = int(not re.search(r"[0-9]|^\W*(nan|inf)", fields[-1].lower()))
            return TREC_QRELS if len(fields) == 4 else BEIR_QRELS, separator, header
    return BEIR_QRELS, order[0] if first.count(order[0] or " ") else "", 0


def _named_columns(fields: list[str]) -> str:
    """The form that a header describes, "" where it is none that names each column once."""
    names = [HEADERS.get(re.sub(r"[-_ \"']", "", field.lower()), "_") for field in fields]
    known = sorted(name for name in names if name != "_")
    return " ".join(names) if known == ["grade", "passage_id", "query_id"] else ""


def _judgements(path: Path, numbers: IntArray, lines: pa.Array, form: str, separator: str) -> pa.Table:
    query_ids, passage_ids, words = _columns(path, numbers, lines, form, separator)
    grades = _numbers(pc.ascii_trim_whitespace(words))
    _check_rows(
        path, numbers, words, ~((np.abs(grades) < 2**53) & (grades == np.trunc(grades))), "a whole number as grade"
    )
    return pa.table([query_ids, passage_ids, pa.array(grades.astype(np.int64)), pa.array(numbers)], schema=QRELS)


def _unquoted(words: pa.Array) -> pa.Array:
    """Fields as they were before csv quoted them; other quotes are part of an id."""
    inner = pc.replace_substring(pc.utf8_slice_codeunits(words, 1, -1), '""', '"')
    return pc.if_else(pc.match_substring_regex(words, '^"([^"]|"")*"$'), inner, words)


def write_qrels(path: Path, qrels: Qrels) -> None:
    """Writes judgements as BEIR does, whole or not at all."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["query-id", "corpus-id", "score"])
        for query_id, judged in qrels.items():
            writer.writerows((_escaped(query_id), _escaped(passage_id), grade) for passage_id, grade in judged.items())
