"""Reads a dataset of the Hugging Face Hub, or a local copy of one, in either of the two forms in use for retrieval.

mteb form    one dataset with the configurations "corpus", "queries" and "default" (or "qrels"), as mteb/scifact
             with several languages "en-corpus", "en-queries" and "en-qrels"; "mteb/name#en" names the language
BeIR form    "corpus" and "queries" in one dataset, the judgements in a second called <name>-qrels, as BeIR/scifact
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from st_mta.collections.assemble import SPLIT_NAMES, Judgements, assemble, joined_texts
from st_mta.collections.benchmarks import of_dataset, where_to_get
from st_mta.collections.records import PASSAGE_IDS, PASSAGE_TEXTS, QUERY_IDS, QUERY_TEXTS, plain_key
from st_mta.errors import InputError
from st_mta.trec import HEADERS_OF
from st_mta.types import Collection, Texts

QRELS_CONFIGS = ("default", "qrels")


def read_hub(dataset_id: str, *, splits: Mapping[str, str] | None = None) -> Collection:
    """Reads a retrieval dataset through ``datasets.load_dataset``; texts stay memory-mapped where they can.

    Private and gated datasets need a login (``hf auth login``).

    Args:
        dataset_id: Id on the Hub ("mteb/scifact"), or a folder with a copy of such a dataset; after it "#" and a
            language ("mteb/name#en") where it has its configurations in several.
        splits: Names of judged splits -> what to call them here.

    Returns:
        The collection, named after the last part of the id. The split "validation" is called "dev" here. Judgements
        without grades are all of grade 1.

    Raises:
        InputError: If the Hub cannot be reached, the dataset or one of its parts is not there, the language is
            missing or unknown, or the parts do not fit together (see ``assemble``).
    """
    language = ""
    if not Path(dataset_id).exists():
        dataset_id, _, language = dataset_id.partition("#")
    parts = _parts(dataset_id, language)
    corpus, queries = (
        pa.concat_tables(_tables(dataset_id, config).values()) for config in (parts.corpus, parts.queries)
    )
    titles = corpus["title"].cast(pa.large_string()) if "title" in corpus.column_names else None
    collection = assemble(
        name="-".join(filter(None, (Path(dataset_id).name, language))),
        corpus=Texts(
            _strings(corpus, dataset_id, "_id", *PASSAGE_IDS),
            joined_texts(titles, _strings(corpus, dataset_id, *PASSAGE_TEXTS)),
        ),
        queries=Texts(_strings(queries, dataset_id, "_id", *QUERY_IDS), _strings(queries, dataset_id, *QUERY_TEXTS)),
        judgements=_judgements(dataset_id, parts.qrels, SPLIT_NAMES | dict(splits or {})),
        licence=_licence(dataset_id),
        notes=(f"Read from {_shown(dataset_id)}.",),
    )
    return replace(collection, hub_id=None if Path(dataset_id).is_dir() else dataset_id)


@dataclass(frozen=True)
class Parts:
    """The configurations of a dataset that belong together; without one for judgements these are a dataset."""

    corpus: str = "corpus"
    queries: str = "queries"
    qrels: str | None = None


def _parts(dataset_id: str, language: str) -> Parts:
    known = _config_names(dataset_id)
    parts = {config: re.fullmatch(r"(?:(.+)-)?(corpus|queries|qrels)(?:-(.+))?", config) for config in known}
    by_language: dict[str, dict[str, str]] = {}
    for config, part in parts.items():
        if part and (prefix := part[1] or part[3]):
            by_language.setdefault(prefix, {})[part[2]] = config
    languages = sorted(name for name, found in by_language.items() if {"corpus", "queries"} <= found.keys())
    if "corpus" in known or not languages:
        if not language:
            return Parts(qrels=next((config for config in QRELS_CONFIGS if config in known), None))
        languages = []
    if not language and len(languages) == 1:
        language = languages[0]
    if language not in languages:
        raise InputError(
            expected=f"one language of {dataset_id}: {', '.join(languages) or 'it has only one, without a name'}",
            got=repr(language) if language else "none",
            remedy=f"name {dataset_id}#{languages[0]}" if languages else f"name {dataset_id} alone",
        )
    found = by_language[language]
    qrels = found.get("qrels") or next((config for config in (language, *QRELS_CONFIGS) if config in known), None)
    return Parts(found["corpus"], found["queries"], qrels)


def _judgements(dataset_id: str, config: str | None, split_names: Mapping[str, str]) -> dict[str, Judgements]:
    if config is None:  # the judgements are a dataset of their own
        dataset_id, config = f"{dataset_id}-qrels", "default"
    judgements: dict[str, Judgements] = {}
    for split, table in _tables(dataset_id, config).items():
        name = split_names.get(split, split)
        if name in judgements:
            raise InputError(
                expected=f"one split of {dataset_id} for {name!r}",
                got=f"{split!r} beside another",
                remedy="copy the dataset in the layout of BEIR, with one file for each split",
            )
        judgements[name] = Judgements(
            query_ids=_strings(table, dataset_id, "query-id", *HEADERS_OF["query_id"]),
            passage_ids=_strings(table, dataset_id, "corpus-id", *HEADERS_OF["passage_id"]),
            grades=_grades(table, dataset_id),
            place=partial("{0}, split {1}, row {2}".format, _shown(dataset_id), split),
        )
    return judgements


def _shown(dataset_id: str) -> str:
    """The id, or the name of a folder: notes are published, and a machine's paths are not."""
    return Path(dataset_id).name if Path(dataset_id).is_dir() else dataset_id


def _grades(table: pa.Table, dataset_id: str) -> pa.ChunkedArray:
    """The column of grades; datasets that list only relevant passages (NanoBEIR) have none."""
    names = ("score", *HEADERS_OF["grade"])
    if _named(table, names):
        return _column(table, dataset_id, *names)
    return pa.chunked_array([np.ones(len(table), dtype=np.int64)])


def _tables(dataset_id: str, config: str) -> dict[str, pa.Table]:
    """Split -> all its rows; of corpus and queries the split says nothing."""
    return {split: rows.with_format("arrow")[:] for split, rows in _load(dataset_id, config).items()}


def _load(dataset_id: str, config: str) -> Any:
    """The ``DatasetDict`` of a configuration."""
    from datasets import load_dataset  # takes a second to import, and most collections do not need it
    from datasets.exceptions import DatasetsError

    try:
        try:
            return load_dataset(dataset_id, config)
        except RuntimeError as error:
            if "scripts" not in str(error):
                raise
            # BeIR's older datasets come with a loading script, which `datasets` refuses since 4.0; the script would
            # have read this file beside it.
            address = dataset_id if Path(dataset_id).is_dir() else f"hf://datasets/{dataset_id}"
            return load_dataset("json", data_files=f"{address}/{config}.jsonl.gz")
    except (OSError, ValueError, DatasetsError) as error:
        raise _not_there(dataset_id, config, error) from error


def _config_names(dataset_id: str) -> list[str]:
    from datasets import get_dataset_config_names
    from datasets.exceptions import DatasetsError

    try:
        return list(get_dataset_config_names(dataset_id))
    except RuntimeError:  # a loading script, see _load
        return []
    except (OSError, ValueError, DatasetsError) as error:
        raise _not_there(dataset_id, "corpus", error) from error


def _not_there(dataset_id: str, config: str, error: Exception) -> InputError:
    name, known = Path(dataset_id).name, of_dataset(dataset_id)
    check = (
        "check the name, the network and your login (hf auth login), or put a copy in the layout of BEIR into "
        f"$ST_MTA_DATA/{name} and name the collection {name!r}"
    )
    return InputError(
        expected=f"a dataset {dataset_id!r} with the configuration {config!r}, on the Hub or in its cache",
        got=f"{type(error).__name__}: {error}",
        remedy=where_to_get(known) if known else check,
    )


def _strings(table: pa.Table, dataset_id: str, *names: str) -> pa.ChunkedArray:
    return _column(table, dataset_id, *names).cast(pa.large_string())


def _column(table: pa.Table, dataset_id: str, *names: str) -> pa.ChunkedArray:
    """The first of the named columns that is there, without missing values."""
    name = _named(table, names)
    if name is None or table[name].null_count:
        raise InputError(
            expected=f"a column {' or '.join(names[:2])} without missing values in {dataset_id}",
            got=f"{table[name].null_count} missing values" if name else f"the columns {table.column_names}",
            remedy="name a dataset in the form of mteb/scifact or BeIR/scifact",
        )
    return table[name]


def _named(table: pa.Table, names: tuple[str, ...]) -> str | None:
    """The column of the first of these names, in these letters or in others."""
    plain = {plain_key(column): column for column in reversed(table.column_names)}
    exact = (name for name in names if name in table.column_names)
    return next(exact, None) or next((plain[plain_key(name)] for name in names if plain_key(name) in plain), None)


def _licence(dataset_id: str) -> str | None:
    """The licence stated in the dataset's card, if any."""
    from huggingface_hub import DatasetCard

    readme = Path(dataset_id, "README.md")
    try:
        card = DatasetCard.load(readme if readme.is_file() else dataset_id)
    except (OSError, ValueError):
        return None
    licence = card.data.to_dict().get("license")
    return ", ".join(licence) if isinstance(licence, list) else licence
