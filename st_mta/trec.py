"""Run files in TREC's six columns: ``query_id Q0 passage_id rank score tag``."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path

from st_mta.atomic import atomic_path
from st_mta.errors import InputError
from st_mta.progress import progress
from st_mta.types import Run

LINES_PER_UPDATE = 100_000


def write_run(path: str | Path, run: Run, tag: str) -> None:
    """Writes a run so that reading it gives back the same scores, bit for bit.

    Passages are ranked by score; equal scores keep the order they have in the run (a ``Retrieved`` puts the lower
    corpus position first). trec_eval and ``evaluate_run`` look at the scores and ids only, not at the rank.

    Args:
        path: The file to write; it appears whole or not at all.
        run: Scores of one system.
        tag: Name of the system; blanks in it become underscores.

    Raises:
        InputError: If an id contains white space or is empty, or a score is NaN.
    """
    tag = "_".join(tag.split()) or "run"
    with atomic_path(Path(path)) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        for query_id, passages in run.items():
            _refuse_spaces([query_id], "query id")
            _refuse_spaces(passages, "passage id")
            _refuse_nan(query_id, passages)
            file.writelines(_lines(query_id, passages, tag))


def _lines(query_id: str, passages: dict[str, float], tag: str) -> Iterator[str]:
    ranking = sorted(passages.items(), key=itemgetter(1), reverse=True)  # stable, so ties keep their order
    for rank, (passage_id, score) in enumerate(ranking, start=1):
        yield f"{query_id} Q0 {passage_id} {rank} {float(score)!r} {tag}\n"


def _refuse_spaces(ids: Iterable[str], what: str) -> None:
    ids = list(ids)
    if " ".join(ids).split() == ids:
        return
    wrong = next(text for text in ids if text.split() != [text])
    raise InputError(
        expected=f"a {what} without white space",
        got=repr(wrong),
        consequence="readers would find more or fewer than six columns",
        remedy=f"rename it, for example to {'_'.join(wrong.split()) or 'unnamed'!r}",
    )


def _refuse_nan(query_id: str, passages: dict[str, float]) -> None:
    if not math.isnan(sum(passages.values())):  # cheap; a sum over both infinities is NaN too
        return
    for passage_id, score in passages.items():
        if math.isnan(score):
            raise InputError(
                expected="a number as score",
                got=f"NaN for query {query_id!r}, passage {passage_id!r}",
                consequence="the order of the file would be arbitrary",
                remedy="leave passages without a score out of the run",
            )


def read_run(path: str | Path) -> Run:
    """Reads a run file; ranks and tags are dropped, scores stay as written.

    Args:
        path: A file in the six columns, separated by blanks or tabs; empty lines are skipped.

    Returns:
        Query id -> passage id -> score, in the order of the file.

    Raises:
        InputError: If a line is malformed, naming file and line; or a passage occurs twice for a query.
    """
    run: Run = {}
    for number, line in _numbered_lines(Path(path)):
        columns = line.split()
        if not columns:
            continue
        try:
            query_id, _, passage_id, _, text, _ = columns
            score = float(text)
        except ValueError:
            raise _malformed(columns, f"{path}:{number}") from None
        passages = run.setdefault(query_id, {})
        if passage_id in passages or score != score:
            raise _malformed(columns, f"{path}:{number}")
        passages[passage_id] = score
    return run


def _numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    with open(path, encoding="utf-8") as file, progress(f"Reading {path.name}", os.path.getsize(path), "B") as bar:
        pending = 0
        for number, line in enumerate(file, start=1):
            pending += len(line)
            if number % LINES_PER_UPDATE == 0:
                bar.update(pending)
                pending = 0
            yield number, line


def _malformed(columns: list[str], place: str) -> InputError:
    expected, got = "six columns (query_id Q0 passage_id rank score tag)", f"{len(columns)} columns"
    if len(columns) == 6:
        expected, got = "a number in column five", f"the score {columns[4]!r}"
        if _is_number(columns[4]):
            expected = "each passage once per query"
            got = f"passage {columns[2]!r} a second time for query {columns[0]!r}"
    return InputError(
        expected=expected,
        got=f"{got} at {place}",
        consequence="the run would be read with wrong or missing passages",
        remedy="mend or remove this line",
    )


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False
