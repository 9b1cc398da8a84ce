"""`import_scores`: scores that others have published become a collection and a teacher."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from st_mta.atomic import atomic_folder
from st_mta.collections import read_beir
from st_mta.collections.records import plain_key
from st_mta.collections.score_files import FORMS, Tables
from st_mta.collections.score_files.forms import JUDGED, Columns
from st_mta.collections.score_files.reader import Reader
from st_mta.collections.score_files.source import Source
from st_mta.errors import InputError
from st_mta.lookup import check_choice
from st_mta.outputs import check_output_folder
from st_mta.progress import progress
from st_mta.scorers import StoredScores
from st_mta.types import Collection

logger = logging.getLogger(__name__)

RUN = "run"
"""The form of run files and of ``{query_id: {passage_id: score}}``, which are no records."""
SCORES, PAIRS = "scores.parquet", "pairs.parquet"
JUDGEMENTS_STAY = (
    "%s of %s are not imported, since judgements of the scored queries come from the scores themselves; to evaluate "
    "on them, copy their files into %s/qrels and their queries into its queries.jsonl."
)


def import_scores(
    path: str | Path,
    output_dir: str | Path,
    *,
    corpus: str | Path | None = None,
    queries: str | Path | None = None,
    form: str | None = None,
) -> tuple[Collection, StoredScores | None]:
    """Reads a file of scores in one of the forms in use, and writes it as a collection and a file of scores.

    Its columns say which form it is: those of PyLate ("pylate"), FlagEmbedding ("flagembedding") and Tevatron
    ("tevatron"), what the host's ``mine_hard_negatives`` writes ("tuples", "lists", "pairs"), columns query_id,
    passage_id and score ("scores"), or a run or ``{query_id: {passage_id: score}}`` ("run"). What a form calls
    positive, or has labels of 1 and more, becomes a judgement of the split "train". A text without an id gets one that
    equal texts share. A pair that comes several times has its first score.

    Args:
        path: Records as .jsonl, .json (both also .gz) or .parquet, a folder written by ``save_to_disk``, or a run.
        output_dir: A new folder for ``corpus.jsonl``, ``queries.jsonl``, ``qrels/train.tsv`` and ``scores.parquet``.
            Where no pair has a score, ``pairs.parquet`` is what ``st-mta score`` can score.
        corpus: Ids and texts of the passages where the file has only ids: records as above, or a folder in the layout
            of BEIR.
        queries: The same of the queries; by default those of the corpus's folder.
        form: One of the names above where the form is not recognised.

    Returns:
        The collection and its scores, None where the file has none. Only queries with a row are in it.

    Raises:
        InputError: If the output folder holds something, the form is unknown, a record is malformed (with its line),
            or there are no texts.

    Example:
        ::

            collection, teacher = import_scores("train.jsonl", "marco", corpus="corpus.parquet", queries="q.parquet")
            MultiAssistantTrainer(student, arguments, teacher=teacher, collection=collection).train()
    """
    folder = check_output_folder(output_dir)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(
            expected="a new or empty output folder", got=f"{folder}, which holds files", remedy="name another"
        )
    if form is not None:
        check_choice("form", form, (*FORMS, RUN))
    with atomic_folder(folder, last=SCORES) as temporary, TemporaryDirectory(dir=temporary) as work:
        with closing(Tables(Path(work))) as tables, progress("Importing", 5, "steps") as bar:
            _add_pairs(tables, Path(path), form)
            bar.update()
            if corpus is not None and (judged := sorted(Path(corpus).glob("qrels/*.tsv"))):
                logger.info(JUDGEMENTS_STAY, ", ".join(path.name for path in judged), judged[0].parent, folder)
            for table, texts in _texts(corpus, queries):
                tables.add_texts(table, Source.open(texts))
            bar.update()
            for note in tables.settle():
                logger.info(note)
            bar.update()
            scored = tables.write(temporary)
            bar.update()
    collection = read_beir(folder)
    logger.info(
        f"{len(collection.corpus):,} passages, {len(collection.queries):,} queries, {scored:,} scores and judgements "
        f"of {len(collection.qrels.get('train', {})):,} queries in {folder}"
    )
    return collection, StoredScores(folder / SCORES, name=folder.name) if scored else None


def _add_pairs(tables: Tables, path: Path, form: str | None) -> None:
    source = Source.open(path)
    if not source.sample:
        if form not in (None, RUN):
            raise _not_of(form, path, "a run")
        logger.info("%s is read as the form %r.", path, RUN)
        tables.add_run(path)
        return
    whole, names = tables.reader.survey(source), list(FORMS) if form is None else [form] if form != RUN else []
    readings = _readings(whole.sample, names)
    if not readings:
        _refuse_later_column(tables.reader, whole, source.sample, names)
        raise _not_of(form, path, f"the columns {', '.join(whole.sample)}")
    name, columns = next(iter(readings.items()))
    _refuse_second_column(tables.reader, whole, source.sample, columns)
    logger.info("%s is read as the form %r: %s", path, name, FORMS[name].example)
    tables.add_pairs(whole, columns)


def _readings(sample: Mapping[str, Any], names: Iterable[str]) -> dict[str, Columns]:
    return {name: columns for name in names if (columns := FORMS[name].read(sample)) is not None}


def _refuse_later_column(reader: Reader, whole: Source, first: Mapping[str, Any], names: list[str]) -> None:
    """Where the first record is of a form and later ones have a column that does not belong to it."""
    later = [name for name in whole.sample if name not in first]
    if later and _readings(first, names):
        column = next((name for name in later if not _readings({**first, name: whole.sample[name]}, names)), later[0])
        reader.refuse_column(whole, column, f"only the columns of the first record ({', '.join(first)})")


def _refuse_second_column(reader: Reader, whole: Source, first: Mapping[str, Any], columns: Columns) -> None:
    """A column that is not read and whose name says that it should be, in some records in place of another one."""
    read = {plain_key(name) for name in columns.types}
    for name in (name for name in whole.sample if name not in columns.types):
        plain = plain_key(name)
        if plain in read or (name not in first and (plain in JUDGED or plain.startswith("negative"))):
            reader.refuse_column(whole, name, f"only the columns {', '.join(columns.types)} for queries and scores")


def _not_of(form: str | None, path: Path, got: str) -> InputError:
    known = {name: each.example for name, each in FORMS.items()} | {RUN: "{query_id: {passage_id: score}}, or TREC"}
    wanted = known if form is None else {form: known[form]}
    return InputError(
        expected=f"records like {'; '.join(f'{example} ({name})' for name, example in wanted.items())} in {path}",
        got=got,
        remedy="rename its columns" if form is None else "name another form, or none, to have it recognised",
    )


TEXTS = {"passages": "corpus", "queries": "queries"}
"""Names of the files in a folder in BEIR layout."""


def _texts(corpus: str | Path | None, queries: str | Path | None) -> list[tuple[str, Path]]:
    """Table -> the file with its texts; a folder in BEIR layout holds both."""
    folder = None if corpus is None else Path(corpus)
    given = {"passages": folder, "queries": folder if queries is None else Path(queries)}
    found = {table: _in_folder(path, TEXTS[table]) for table, path in given.items() if path is not None}
    if queries is None and folder is not None and not folder.is_dir():
        del found["queries"]
    return [(table, path) for table, path in found.items() if path is not None]


def _in_folder(path: Path, name: str) -> Path | None:
    """The file itself, or that of a folder; None where a folder has none, and the folder where it is a data set."""
    inside = [path / f"{name}{ending}" for ending in (".jsonl", ".jsonl.gz")]
    known = [path / f"{each}{ending}" for each in TEXTS.values() for ending in (".jsonl", ".jsonl.gz")]
    if not path.is_dir() or not any(one.exists() for one in known):
        return path
    return next((one for one in inside if one.exists()), None)
