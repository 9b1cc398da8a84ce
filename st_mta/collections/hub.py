"""Reads a dataset of the Hugging Face Hub, or a local copy of one, in either of the two forms in use for retrieval.

mteb form    one dataset with the configurations "corpus", "queries" and "default" (or "qrels"), as mteb/scifact
BeIR form    "corpus" and "queries" in one dataset, the judgements in a second called <name>-qrels, as BeIR/scifact
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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


def read_hub(dataset_id: str, *, splits: Mapping[str, str] | None = None) -> Collection:
    """Reads a retrieval dataset through ``datasets.load_dataset``; texts stay memory-mapped where they can.

    Private and gated datasets need a login (``hf auth login``).

    Args:
        dataset_id: Id on the Hub ("mteb/scifact"), or a folder with a copy of such a dataset.
        splits: Names of judged splits -> what to call them here.

    Returns:
        The collection, named after the last part of the id. The split "validation" is called "dev" here. Judgements
        without grades are all of grade 1.

    Raises:
        InputError: If the Hub cannot be reached, the dataset or one of its parts is not there, or the parts do not
            fit together (see ``assemble``).
    """
    corpus, queries = (pa.concat_tables(_tables(dataset_id, config).values()) for config in ("corpus", "queries"))
    titles = corpus["title"].cast(pa.large_string()) if "title" in corpus.column_names else None
    collection = assemble(
        name=Path(dataset_id).name,
        corpus=Texts(
            _strings(corpus, dataset_id, "_id", "id"), joined_texts(titles, _strings(corpus, dataset_id, "text"))
        ),
        queries=Texts(_strings(queries, dataset_id, "_id", "id"), _strings(queries, dataset_id, "text")),
        judgements=_judgements(dataset_id, SPLIT_NAMES | dict(splits or {})),
        licence=_licence(dataset_id),
        notes=(f"Read from {_shown(dataset_id)}.",),
    )
    return replace(collection, hub_id=None if Path(dataset_id).is_dir() else dataset_id)


def _judgements(dataset_id: str, split_names: Mapping[str, str]) -> dict[str, Judgements]:
    known = _config_names(dataset_id)
    config = next((config for config in QRELS_CONFIGS if config in known), None)
    if config is None:  # the judgements are a dataset of their own
        dataset_id, config = f"{dataset_id}-qrels", "default"
    return {
        split_names.get(split, split): Judgements(
            query_ids=_strings(table, dataset_id, "query-id"),
            passage_ids=_strings(table, dataset_id, "corpus-id"),
            grades=_grades(table, dataset_id),
            place=partial("{0}, split {1}, row {2}".format, _shown(dataset_id), split),
        )
        for split, table in _tables(dataset_id, config).items()
    }


def _shown(dataset_id: str) -> str:
    """The id, or the name of a folder: notes are published, and a machine's paths are not."""
    return Path(dataset_id).name if Path(dataset_id).is_dir() else dataset_id


def _grades(table: pa.Table, dataset_id: str) -> pa.ChunkedArray:
    """The column of grades; datasets that list only relevant passages (NanoBEIR) have none."""
    ones = pa.chunked_array([np.ones(len(table), dtype=np.int64)])
    return _column(table, dataset_id, "score") if "score" in table.column_names else ones


def _tables(dataset_id: str, config: str) -> dict[str, pa.Table]:
    """Split -> all its rows; of corpus and queries the split says nothing."""
    return {split: rows.with_format("arrow")[:] for split, rows in _load(dataset_id, config).items()}


def _load(dataset_id: str, config: str) -> Any:
    """The ``DatasetDict`` of a configuration."""
    from datasets import load_dataset  # takes a second to import, and most collections do not need it

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
    except (OSError, ValueError) as error:
        raise _not_there(dataset_id, config, error) from error


def _config_names(dataset_id: str) -> list[str]:
    from datasets import get_dataset_config_names

    try:
        return list(get_dataset_config_names(dataset_id))
    except RuntimeError:  # a loading script, see _load
        return []


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
    name = next((name for name in names if name in table.column_names), None)
    if name is None or table[name].null_count:
        raise InputError(
            expected=f"a column {' or '.join(names)} without missing values in {dataset_id}",
            got=f"{table[name].null_count} missing values" if name else f"the columns {table.column_names}",
            remedy="name a dataset in the form of mteb/scifact or BeIR/scifact",
        )
    return table[name]


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
