"""A stage's means in toy sizes, and what it found."""

from __future__ import annotations

import pytest

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.record import Record


def bench_of(stage, folder):
    return Bench(Record(folder / f"{stage}.json", stage, dry=True), folder, dry=True, seconds=100)


@pytest.fixture
def bench(request, tmp_path):
    """Of the stage that the test's module names."""
    return lambda stage: bench_of(stage, tmp_path)
