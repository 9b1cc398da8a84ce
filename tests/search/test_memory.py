"""A search of mapped files gives back the memory of what it has read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from st_mta.search import integer as integers
from st_mta.search.backends import float_search
from st_mta.search.integer import integer_search
from st_mta.stores.embeddings import Embeddings
from tests.search.test_corpus import random_rows

SMAPS = Path("/proc/self/smaps")
PARTS, ROWS, DIMENSION, BLOCK = 20, 1024, 256, 256


def mapped(folder: Path) -> Embeddings:
    """PARTS files of ROWS rows each."""
    for number in range(PARTS):
        np.save(folder / f"{number}.npy", random_rows(ROWS, DIMENSION, seed=number))
    arrays = tuple(np.load(folder / f"{number}.npy", mmap_mode="r") for number in range(PARTS))
    places = np.arange(PARTS * ROWS)
    return Embeddings(arrays, places // ROWS, places % ROWS)


def resident_bytes(folder: Path) -> int:
    """How much of the files in a folder this process holds in memory."""
    resident, inside = 0, False
    for line in SMAPS.read_text().splitlines():
        fields = line.split()
        if not fields[0].endswith(":"):
            inside = fields[-1].startswith(str(folder))
        elif inside and fields[0] == "Rss:":
            resident += int(fields[1]) * 1024
    return resident


@pytest.mark.skipif(not SMAPS.exists(), reason="the system does not tell what is resident")
@pytest.mark.parametrize("kind", ["float", "integer"])
def test_little_of_the_files_stays_in_memory(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(integers, "FEWEST_QUERIES", 1)
    monkeypatch.setattr(integers, "FEWEST_PASSAGES", 1)
    monkeypatch.setattr(integers, "SAMPLE", (2048, 2048))
    monkeypatch.setattr(integers, "BLOCKS_AHEAD", 4)
    corpus = mapped(tmp_path)
    search = float_search(corpus, torch.device("cpu"), BLOCK)
    if kind == "integer":
        search = integer_search(corpus, search, BLOCK)
    search(random_rows(20, DIMENSION, seed=99), 3)
    whole = PARTS * ROWS * DIMENSION * 4
    assert resident_bytes(tmp_path) <= whole / 4
    assert sum(float(block[:, 0].sum()) for block in corpus.block_arrays) and resident_bytes(tmp_path) > whole / 4
