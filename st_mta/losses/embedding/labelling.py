"""Labels for a dataset of texts: in which row of the teachers' embeddings each text's target stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, IterableDataset, Sequence, Value, concatenate_datasets

from st_mta.errors import InputError
from st_mta.lookup import check_choice
from st_mta.losses.embedding.teachers import Teachers, table_of
from st_mta.stores.embeddings import ROLES, Embeddings, Role
from st_mta.types import FloatArray, IntArray, Texts

LABEL = "label"
LABEL_COLUMNS = ("label", "labels", "score", "scores")
"""What the host takes for a label, the first of them that there is."""
NOT_TEXT = (*LABEL_COLUMNS, "dataset_name")
QUERY_COLUMNS = ("query", "anchor", "question")
"""Columns whose texts are queries; all others are documents."""

Roles = Mapping[str, str]
AddEmbeddings = Callable[[dict[str, list[Any]]], dict[str, list[Any]]]


@dataclass
class TargetRows:
    """The teachers' embeddings of all labelled texts, as rows that are read where they lie.

    Attributes:
        parts: Each labelled table: the row where it begins, and every teacher's embeddings of it.
        count: Rows so far.
    """

    parts: list[tuple[int, list[Embeddings]]] = field(default_factory=list)
    count: int = 0

    def add(self, embeddings: list[Embeddings]) -> int:
        """Puts a table's rows behind the others; returns where they begin."""
        start = self.count
        self.parts.append((start, embeddings))
        self.count += len(embeddings[0])
        return start

    def read(self, rows: IntArray, teachers: Teachers) -> FloatArray:
        """(n,) row numbers -> (n, D) fused embeddings."""
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.count:
            raise InputError(
                expected=f"row numbers below {self.count} as label",
                got=f"{rows.min()} to {rows.max()}",
                remedy="train on the dataset that loss.label(dataset) returned, with the loss that labelled it",
            )
        starts = np.array([start for start, _ in self.parts])
        part_of = np.searchsorted(starts, rows, side="right") - 1
        fused = np.zeros((len(rows), sum(one.dimension for one in self.parts[0][1])), dtype=np.float32)
        for part in np.unique(part_of):
            here = part_of == part
            start, embeddings = self.parts[part]
            fused[here] = teachers.fuse([one.rows(rows[here] - start) for one in embeddings])
        return fused


def roles_of(dataset: Dataset | IterableDataset, roles: Roles | None) -> dict[str, Role]:
    """The role of every text column, in the order of the columns.

    Raises:
        InputError: If there is no text, or a role is given to a column that is not there or is no role.
    """
    columns = _text_columns(dataset)
    for column, role in (roles or {}).items():
        check_choice("a column of texts", column, columns)
        check_choice(f"the role of column {column!r}", role, ROLES)
    if not columns:
        raise InputError(
            expected="a dataset with at least one column of texts",
            got=f"the columns {', '.join(dataset.column_names or [])}",
            remedy="add one",
        )
    default: dict[str, Role] = {column: "query" if column in QUERY_COLUMNS else "document" for column in columns}
    return {column: (roles or {}).get(column, role) for column, role in default.items()}  # type: ignore[misc]


def distinct_texts(dataset: Dataset, roles: dict[str, Role]) -> dict[Role, tuple[Texts, dict[str, IntArray]]]:
    """For each role in use a table of its distinct texts, and for its columns the row of every text in it."""
    table: pa.Table = dataset.select_columns(list(roles)).with_format("arrow")[:]
    found: dict[Role, tuple[Texts, dict[str, IntArray]]] = {}
    for role in ROLES:
        columns = [column for column in roles if roles[column] == role]
        if not columns or not len(table):
            continue
        chunks = [chunk.cast(pa.large_string()) for column in columns for chunk in table[column].chunks]
        encoded = pa.chunked_array(chunks, pa.large_string()).dictionary_encode().combine_chunks()
        refuse_missing(columns, encoded.null_count)
        rows = encoded.indices.to_numpy().astype(np.int64).reshape(len(columns), len(table))
        found[role] = table_of(pa.chunked_array([encoded.dictionary])), dict(zip(columns, rows))
    return found


def refuse_missing(columns: Iterable[str], missing: int) -> None:
    """Raises ``InputError`` if texts are missing in these columns."""
    if missing:
        raise InputError(
            expected=f"a text in every row of {', '.join(columns)}", got=f"{missing} without", remedy="drop these rows"
        )


def with_rows(dataset: Dataset, rows: list[IntArray]) -> Dataset:
    """The dataset with the row numbers (N,) of its C columns as label, in place of any other."""
    dataset = dataset.remove_columns([column for column in LABEL_COLUMNS if column in dataset.column_names])
    label = np.stack(rows, axis=1)
    flat = pa.array(label.ravel(), pa.int64())
    column = flat if len(rows) == 1 else pa.FixedSizeListArray.from_arrays(flat, len(rows)).cast(pa.list_(pa.int64()))
    return concatenate_datasets([dataset, Dataset(pa.table({LABEL: column}))], axis=1)


def with_embeddings(
    dataset: IterableDataset, roles: dict[str, Role], encode: Callable[[list[str], Role], FloatArray], batch_size: int
) -> IterableDataset:
    """The stream with the embeddings themselves as label, (D,) or (C, D) per row, made as rows come by."""

    def add(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for column in roles:
            refuse_missing([column], batch[column].count(None))
        columns = [encode(batch[column], role) for column, role in roles.items()]
        label = columns[0] if len(columns) == 1 else np.stack(columns, axis=1)
        return {LABEL: label.tolist()}

    features = _features(dataset)
    kind: Any = Sequence(Value("float32"))
    stated = {name: features[name] for name in features if name not in LABEL_COLUMNS}
    stated[LABEL] = kind if len(roles) == 1 else Sequence(kind)
    others = [column for column in LABEL_COLUMNS if column in features]
    # The host's trainer asks a stream for the names of its columns.
    options = {"batched": True, "batch_size": batch_size, "features": Features(stated)}
    return dataset.remove_columns(others).map(add, **options)


def _text_columns(dataset: Dataset | IterableDataset) -> list[str]:
    texts = [
        name
        for name, kind in _features(dataset).items()
        if isinstance(kind, Value) and kind.dtype in ("string", "large_string")
    ]
    return [column for column in texts if column not in NOT_TEXT]


def _features(dataset: Dataset | IterableDataset) -> Features:
    """The columns with their types, in a stream that does not state them from its first row."""
    if dataset.features is not None:
        return dataset.features
    return Dataset.from_list(list(islice(dataset, 1))).features
