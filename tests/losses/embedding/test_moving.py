"""Maps that change in training: by the step, and by what the batch's teacher says."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from st_mta.losses.batch import read_batch
from st_mta.losses.embedding import EmbeddingSpaces
from st_mta.losses.embedding.in_lists import list_terms
from st_mta.losses.embedding.moving import MoveTheMap, SelectedSpaces
from tests.reference import kl, softmax

WIDTHS = [3, 2]


def matrices():
    """Each bi-encoder alone, in a student's two dimensions."""
    found = torch.zeros(2, 5, 2)
    found[0, :2], found[1, 3:] = torch.eye(2), torch.eye(2)
    return found


def batch(scores):
    """Two queries, three documents; the first bi-encoder prefers document 0, the second document 1."""
    first, second = torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1.0])
    documents = torch.tensor([[1.0, 0, 0, 1, 0], [0, 1, 0, 0, 1], [0, 0, 1, -1, 0]])
    label = {
        "scores": torch.tensor(scores)[:, None],
        "index": torch.tensor([[0, 1, 2], [0, 1, -1]]),
        "positive": torch.zeros(2, 3, dtype=torch.bool),
        "query_targets": torch.cat([first, second]).expand(2, 5).clone(),
        "document_targets": documents,
    }
    generator = torch.Generator().manual_seed(0)
    return read_batch([torch.randn(rows, 2, generator=generator).requires_grad_() for rows in (2, 3)], label)


LIKES_FIRST, LIKES_SECOND = [[4.0, 0.0, 0.0], [4.0, 0.0, 0.0]], [[0.0, 4.0, 0.0], [0.0, 4.0, 0.0]]


def test_the_distance_is_the_mean_kl_of_loops():
    spaces, one = SelectedSpaces(matrices(), WIDTHS, [0.5, 0.25], 2.0), batch(LIKES_FIRST)
    expected = []
    for temperature, cosines in ((0.5, [1.0, 0.0, 0.0]), (0.25, [0.0, 1.0, 0.0])):
        lists = []
        for row, count in ((0, 3), (1, 2)):
            mask = [True] * count
            teacher = softmax([score / 2.0 for score in LIKES_FIRST[row][:count]], mask)
            lists.append(kl(teacher, softmax([cosine / temperature for cosine in cosines[:count]], mask)))
        expected.append(sum(lists) / 2)
    assert spaces.distances(one).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("scores", "place"), [(LIKES_FIRST, 0), (LIKES_SECOND, 1)])
def test_the_closest_one_is_regressed_to(scores, place):
    spaces, one = SelectedSpaces(matrices(), WIDTHS, [0.1, 0.1], 1.0), batch(scores)
    found = list_terms(one, {"cosine": 1.0}, spaces)["cosine"]
    fixed = list_terms(one, {"cosine": 1.0}, EmbeddingSpaces(matrices()[place], 2))["cosine"]
    assert torch.equal(found, fixed)
    assert spaces.taken == [1 - place, place]


def test_the_map_moves_with_the_steps_alone():
    start, end = torch.zeros(5, 2), torch.ones(5, 2)
    spaces = EmbeddingSpaces(start, 2)
    move = MoveTheMap(spaces, start, end)
    for step, expected in ((0, 0.0), (5, 0.5), (10, 1.0), (5, 0.5)):
        move.on_step_begin(None, SimpleNamespace(global_step=step, max_steps=11), None)
        assert np.allclose(spaces.matrix, expected)
