"""Reads a dataset of the Hugging Face Hub, or a local copy of one, in either of the two forms in use for retrieval.

mteb form    one dataset with the configurations "corpus", "queries" and "default" (or "qrels"), as mteb/scifact
BeIR form    "corpus" and "queries" in one dataset, the judgements in a second called <name>-qrels, as BeIR/scifact
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from st_mta.collections.assemble import SPLIT_NAMES, Judgements, assemble, joined_texts
from st_mta.collections.benchmarks import of_dataset, where_to_get
from st_mta.errors import InputError
from st_mta.types import Collection, Texts

QRELS_CONFIGS = ("default", "qrels")


@dataclass(frozen=True)
class Source:
    """Which dataset to read."""

    dataset_id: str
    revision: str | None
    token: str | None
    splits: Mapping[str, str] = field(default_factory=dict)


def read_hub(
    dataset_id: str,
    revision: str | None = None,
    token: str | None = None,
    *,
    splits: Mapping[str, str] | None = None,
) -> Collection:
    """Reads a retrieval dataset through ``datasets.load_dataset``; texts stay memory-mapped where they can.

    Args:
        dataset_id: Id on the Hub ("mteb/scifact"), or a folder with a copy of such a dataset.
        revision: Branch, tag or commit of the dataset.
        token: Access token for private or gated datasets; the stored login when None.
        splits: Names of judged splits -> what to call them here.

    Returns:
        The collection, named after the last part of the id. The split "validation" is called "dev" here. Judgements
        without grades are all of grade 1.

    Raises:
        InputError: If the Hub cannot be reached, the dataset or one of its parts is not there, or the parts do not
            fit together (see ``assemble``).
    """
    source = Source(dataset_id, revision, token, SPLIT_NAMES | dict(splits or {}))
    corpus, queries = _table(source, "corpus"), _table(source, "queries")
    collection = assemble(
        name=Path(dataset_id).name,
        corpus=Texts(_ids(corpus, source), joined_texts(_titles(corpus), _texts(corpus, source))),
        queries=Texts(_ids(queries, source), _texts(queries, source)),
        judgements=_judgements(source),
        licence=_licence(source),
        notes=(f"Read from {dataset_id}" + (f" at revision {revision}." if revision else "."),),
    )
    return replace(collection, hub_id=None if Path(dataset_id).is_dir() else dataset_id)


def _judgements(source: Source) -> dict[str, Judgements]:
    config = next((config for config in QRELS_CONFIGS if config in _config_names(source)), None)
    if config is None:  # a dataset of its own, whose revisions are other ones
        source, config = replace(source, dataset_id=f"{source.dataset_id}-qrels", revision=None), "default"
    return {
        source.splits.get(split, split): Judgements(
            query_ids=_column(table, source, "query-id").cast(pa.large_string()),
            passage_ids=_column(table, source, "corpus-id").cast(pa.large_string()),
            grades=_grades(table, source),
            place=partial("{0}, split {1}, row {2}".format, source.dataset_id, split),
        )
        for split, table in _tables(source, config).items()
    }


def _grades(table: pa.Table, source: Source) -> pa.ChunkedArray:
    """The column of grades; datasets that list only relevant passages (NanoBEIR) have none."""
    if "score" in table.column_names:
        return _column(table, source, "score")
    return pa.chunked_array([np.ones(len(table), dtype=np.int64)])


def _table(source: Source, config: str) -> pa.Table:
    """All splits of a configuration in one table; the name of the split says nothing here."""
    return pa.concat_tables(_tables(source, config).values())


def _tables(source: Source, config: str) -> dict[str, pa.Table]:
    return {split: rows.with_format("arrow")[:] for split, rows in _load(source, config).items()}


def _load(source: Source, config: str) -> Any:
    """The ``DatasetDict`` of a configuration."""
    from datasets import load_dataset  # takes a second to import, and most collections do not need it

    try:
        try:
            return load_dataset(source.dataset_id, config, revision=source.revision, token=source.token)
        except RuntimeError as error:
            if "scripts" not in str(error):
                raise
            # BeIR's older datasets come with a loading script, which `datasets` refuses since 4.0; the script would
            # have read this file beside it.
            return load_dataset("json", data_files=f"{_address(source)}/{config}.jsonl.gz", token=source.token)
    except (OSError, ValueError) as error:
        raise _not_there(source, config, error) from error


def _address(source: Source) -> str:
    if Path(source.dataset_id).is_dir():
        return source.dataset_id
    return f"hf://datasets/{source.dataset_id}" + (f"@{source.revision}" if source.revision else "")


def _config_names(source: Source) -> list[str]:
    from datasets import get_dataset_config_names

    try:
        return list(get_dataset_config_names(source.dataset_id, revision=source.revision, token=source.token))
    except RuntimeError:  # a loading script, see _load
        return []


def _not_there(source: Source, config: str, error: Exception) -> InputError:
    name = Path(source.dataset_id).name
    known = of_dataset(source.dataset_id)
    return InputError(
        expected=f"a dataset {source.dataset_id!r} with the configuration {config!r}, on the Hub or in its cache",
        got=f"{type(error).__name__}: {error}",
        consequence=f"there would be no {config} to work with",
        remedy=where_to_get(known)
        if known
        else (
            f"check the name, the network and your login (hf auth login), or put a copy in the layout of BEIR into "
            f"$ST_MTA_DATA/{name} and name the collection {name!r}"
        ),
    )


def _ids(table: pa.Table, source: Source) -> pa.ChunkedArray:
    return _column(table, source, "_id", "id").cast(pa.large_string())


def _texts(table: pa.Table, source: Source) -> pa.ChunkedArray:
    return _column(table, source, "text").cast(pa.large_string())


def _titles(table: pa.Table) -> pa.ChunkedArray | None:
    return table["title"].cast(pa.large_string()) if "title" in table.column_names else None


def _column(table: pa.Table, source: Source, *names: str) -> pa.ChunkedArray:
    """The first of the named columns that is there, without missing values."""
    name = next((name for name in names if name in table.column_names), None)
    if name is None or table[name].null_count:
        raise InputError(
            expected=f"a column {' or '.join(names)} without missing values in {source.dataset_id}",
            got=f"{table[name].null_count} missing values" if name else f"the columns {table.column_names}",
            consequence="texts or judgements would be lost",
            remedy="name a dataset in the form of mteb/scifact or BeIR/scifact",
        )
    return table[name]


def _licence(source: Source) -> str | None:
    """The licence stated in the dataset's card, if any."""
    from huggingface_hub import DatasetCard

    readme = Path(source.dataset_id, "README.md")
    try:
        card = DatasetCard.load(readme if readme.is_file() else source.dataset_id, token=source.token)
    except (OSError, ValueError):
        return None
    licence = card.data.to_dict().get("license")
    return ", ".join(licence) if isinstance(licence, list) else licence
