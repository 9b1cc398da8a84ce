"""Fixtures shared by all rooms: a toy collection and a run of the whole flow on it."""

from __future__ import annotations

import functools
import gc
import os
import random

import pytest
import torch

# Several threads for models of two layers cost more than they bring, above all where tests run side by side.
torch.set_num_threads(1)
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The same number format on every machine, here and in the processes that tests start.
os.environ.setdefault("ST_MTA_PRECISION", "fp32")

from st_mta.collections import from_dictionaries  # noqa: E402
from tests.tiny import WORDS  # noqa: E402


def pytest_collection_finish():
    """Every training collects garbage, which is slow where thousands of tests lie in memory; they are none."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish():
    """What is frozen would be reported as leaked at exit."""
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def _templates_are_compiled_once():
    """Every student saved has a model card, whose template takes longer to compile than a tiny model to train."""
    import jinja2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jinja2.Environment, "compile", functools.cache(jinja2.Environment.compile))
        yield


@pytest.fixture(autouse=True, scope="session")
def _nothing_waits_for_the_disk():
    """A run waits hundreds of times until a file is on the disk, which matters where power fails."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def _no_shared_cache(tmp_path, monkeypatch):
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("ST_MTA_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True, scope="session")
def _speeds_are_taken_quickly():
    """A run measures queries per second for seconds; here a moment will do."""
    from st_mta.training import throughput

    throughput.SECONDS_PER_ROUND = 0.002


@pytest.fixture(scope="session")
def toy_collection():
    """60 passages of 8 words, 40 queries of 3 words of their one relevant passage; 24 train, 6 dev, 10 test."""
    source = random.Random(0)
    corpus = {f"p{i}": " ".join(source.choices(WORDS[26:], k=8)) for i in range(60)}
    queries = {f"q{i}": " ".join(source.sample(corpus[f"p{i}"].split(), 3)) for i in range(40)}
    spans = {"train": range(24), "dev": range(24, 30), "test": range(30, 40)}
    qrels = {split: {f"q{i}": {f"p{i}": 1} for i in span} for split, span in spans.items()}
    return from_dictionaries("toy", corpus, queries, qrels)
