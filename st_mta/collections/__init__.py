"""Where text comes from: a folder, a dataset of the Hub, dictionaries, or Python's own documentation."""

from __future__ import annotations

from st_mta.collections.beir import read_beir
from st_mta.collections.benchmarks import BENCHMARKS, GROUPS, Benchmark
from st_mta.collections.dictionaries import from_dictionaries
from st_mta.collections.hub import read_hub
from st_mta.collections.load import load_collection
from st_mta.collections.pydocs import pydocs
from st_mta.collections.splits import crop_queries, with_dev_split, with_training_queries
from st_mta.collections.view import View, read_view
from st_mta.collections.windows import with_windows

__all__ = [
    "BENCHMARKS",
    "GROUPS",
    "Benchmark",
    "View",
    "crop_queries",
    "from_dictionaries",
    "load_collection",
    "pydocs",
    "read_beir",
    "read_hub",
    "read_view",
    "with_dev_split",
    "with_training_queries",
    "with_windows",
]
