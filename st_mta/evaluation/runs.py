"""Run files in TREC's six columns: ``query_id Q0 passage_id rank score tag``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from st_mta.errors import InputError
from st_mta.progress import progress
from st_mta.stores.atomic import atomic_path
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
            file.writelines(_lines(query_id, passages, tag))


def _lines(query_id: str, passages: dict[str, float], tag: str) -> Iterator[str]:
    _refuse_spaces(query_id, "query id")
    ranking = sorted(passages.items(), key=lambda item: item[1], reverse=True)  # stable, so ties keep their order
    for rank, (passage_id, score) in enumerate(ranking, start=1):
        _refuse_spaces(passage_id, "passage id")
        if score != score:
            raise InputError(
                expected="a number as score",
                got=f"NaN for query {query_id!r}, passage {passage_id!r}",
                consequence="the order of the file would be arbitrary",
                remedy="leave passages without a score out of the run",
            )
        yield f"{query_id} Q0 {passage_id} {rank} {float(score)!r} {tag}\n"


def _refuse_spaces(value: str, what: str) -> None:
    if value.split() != [value]:
        raise InputError(
            expected=f"a {what} without white space",
            got=repr(value),
            consequence="readers would find more or fewer than six columns",
            remedy=f"rename it, for example to {'_'.join(value.split()) or 'unnamed'!r}",
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
        query_id, passage_id, score = _row(columns, f"{path}:{number}")
        passages = run.setdefault(query_id, {})
        if passage_id in passages:
            raise _malformed(
                f"{path}:{number}", f"passage {passage_id!r} a second time for query {query_id!r}", "each passage once"
            )
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


def _row(columns: list[str], place: str) -> tuple[str, str, float]:
    if len(columns) != 6:
        raise _malformed(place, f"{len(columns)} columns", "six columns (query_id Q0 passage_id rank score tag)")
    try:
        score = float(columns[4])
    except ValueError:
        raise _malformed(place, f"the score {columns[4]!r}", "a number in column five") from None
    if score != score:
        raise _malformed(place, "the score NaN", "a number in column five")
    return columns[0], columns[2], score


def _malformed(place: str, got: str, expected: str) -> InputError:
    return InputError(
        expected=expected,
        got=f"{got} at {place}",
        consequence="the run would be read with wrong or missing passages",
        remedy="mend or remove this line",
    )
