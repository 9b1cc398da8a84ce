"""The map between embedding spaces: worked by hand, against loops, and where it must lose nothing."""

from __future__ import annotations

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.procrustes import Moments, fit_procrustes, share_explained
from tests.reference import procrustes_distance


def unit_rows(random, rows, width):
    values = random.normal(size=(rows, width))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def test_by_hand_a_quarter_turn():
    source = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert np.allclose(fit_procrustes(source, np.array([[0.0, 1.0], [-1.0, 0.0]])), [[0, 1], [-1, 0]], atol=1e-6)


def test_by_hand_the_longest_direction_is_kept():
    source = np.array([[3.0, 0.0], [0.0, 1.0]])
    assert np.allclose(fit_procrustes(source, np.array([[2.0], [5.0]])), [[1.0], [0.0]], atol=1e-6)


@pytest.mark.parametrize(("wide", "narrow"), [(24, 8), (8, 8), (8, 24)])
def test_inner_products_survive_where_the_rank_allows(wide, narrow):
    random = np.random.default_rng(0)
    latent = unit_rows(random, 200, 8)
    source = latent @ np.linalg.qr(random.normal(size=(wide, 8)))[0].T.astype(np.float32)
    target = latent @ np.linalg.qr(random.normal(size=(narrow, 8)))[0].T.astype(np.float32)
    matrix = fit_procrustes(source, target)
    assert matrix.shape == (wide, narrow)
    assert np.abs(source @ matrix - target).max() < 1e-5


def test_no_rotation_is_nearer():
    random = np.random.default_rng(1)
    source, target = unit_rows(random, 60, 12), unit_rows(random, 60, 5)
    matrix = fit_procrustes(source, target)
    best = procrustes_distance(source, target, matrix)
    for _ in range(200):
        turned = matrix @ np.linalg.qr(np.eye(5) + 0.1 * random.normal(size=(5, 5)))[0]
        assert procrustes_distance(source, target, turned) > best


def test_columns_are_orthonormal_and_blocks_change_nothing():
    random = np.random.default_rng(2)
    source, target, moments = unit_rows(random, 90, 12), unit_rows(random, 90, 5), Moments()
    for start in range(0, 90, 30):
        moments.add(source[start : start + 30], target[start : start + 30])
    matrix = moments.procrustes()
    assert np.allclose(matrix.T @ matrix, np.eye(5), atol=1e-6)
    assert np.allclose(matrix, fit_procrustes(source, target), atol=1e-6)
    assert share_explained(moments, matrix) == pytest.approx(
        float(np.square(source @ matrix).sum() / np.square(source).sum()), rel=1e-5
    )


def test_the_same_space_needs_no_map():
    source = unit_rows(np.random.default_rng(3), 50, 6)
    assert np.allclose(fit_procrustes(source, source), np.eye(6), atol=1e-6)


@pytest.mark.parametrize("source", [np.zeros((0, 3)), np.array([[np.nan, 0.0, 1.0]])])
def test_nothing_to_fit_from_is_refused(source):
    with pytest.raises(InputError, match="finite embeddings"):
        fit_procrustes(source, np.zeros((len(source), 2)))
