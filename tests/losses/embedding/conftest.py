"""A student of 32 dimensions, teachers of other widths, and texts."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from tests.tiny import WORDS, tiny_sentence_transformer

TEXTS = [" ".join(WORDS[26 + i : 30 + i]) for i in range(60)]


@pytest.fixture(scope="session")
def _teachers():
    return [tiny_sentence_transformer(dim, dim=dim) for dim in (48, 24)]


@pytest.fixture
def teachers(_teachers):
    """Wider and narrower than the student."""
    return copy.deepcopy(_teachers)


@pytest.fixture
def wide(teachers):
    return teachers[0]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def orthonormal(rows, columns, seed=0):
    """(rows, columns) with orthonormal rows."""
    return torch.linalg.qr(normal(columns, rows, seed=seed)).Q.T.contiguous()


def units(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
