from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from st_mta.errors import InputError
from st_mta.mining import load_candidates, mine, save_candidates
from st_mta.types import Candidates


def assert_equal(left: Candidates, right: Candidates) -> None:
    assert left.sources == right.sources
    for name in ("queries", "offsets", "passages", "positive", "source", "grades"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
        assert getattr(left, name).dtype == getattr(right, name).dtype


def test_candidates_come_back_as_they_were(collection, shuffled, tmp_path):
    candidates = mine(collection, np.arange(30), [shuffled("a", 0)], collection.qrels["train"])
    save_candidates(tmp_path / "c.parquet", candidates)
    assert_equal(load_candidates(tmp_path / "c.parquet"), candidates)


def test_ragged_and_empty_lists_come_back(tmp_path):
    candidates = Candidates(
        np.array([5, 2, 9]),
        np.array([0, 0, 3, 3]),
        np.array([7, 8, 9]),
        np.array([True, False, False]),
        np.array([0, 1, 1]),
        ("qrels", "a b"),
    )
    save_candidates(tmp_path / "c.parquet", candidates)
    assert_equal(load_candidates(tmp_path / "c.parquet"), candidates)
    save_candidates(tmp_path / "none.parquet", candidates.select(np.array([], dtype=np.int64)))
    assert len(load_candidates(tmp_path / "none.parquet")) == 0


def test_a_file_from_before_there_were_grades_has_positives_of_grade_1(collection, shuffled, tmp_path):
    candidates = mine(collection, np.arange(30), [shuffled("a", 0)], collection.qrels["train"])
    save_candidates(tmp_path / "c.parquet", candidates)
    table = pq.read_table(tmp_path / "c.parquet")
    pq.write_table(table.drop_columns(["grades"]), tmp_path / "older.parquet")
    older = load_candidates(tmp_path / "older.parquet")
    assert candidates.grades.max() == 2
    np.testing.assert_array_equal(older.passages, candidates.passages)
    np.testing.assert_array_equal(older.grades, candidates.positive.astype(int))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="missing.parquet"):
        load_candidates(tmp_path / "missing.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(InputError, match="text.parquet"):
        load_candidates(tmp_path / "text.parquet")
    pq.write_table(pa.table({"query": [1]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="other.parquet"):
        load_candidates(tmp_path / "other.parquet")
