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

LIKES_FIRST, LIKES_SECOND = [4.0, 0.0, 0.0], [0.0, 4.0, 0.0]


def matrices():
    """Each of two bi-encoders alone (of 3 and 2 dimensions), in a student's two dimensions."""
    found = torch.zeros(2, 5, 2)
    found[0, :2], found[1, 3:] = torch.eye(2), torch.eye(2)
    return found


def batch(teacher):
    """Two queries, three documents; scorers 1 and 2 are the bi-encoders, of which one likes document 0, one 1."""
    scores = torch.tensor([teacher, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).expand(2, 3, 3).clone()
    generator = torch.Generator().manual_seed(0)
    label = {
        "scores": scores,
        "index": torch.tensor([[0, 1, 2], [0, 1, -1]]),
        "positive": torch.zeros(2, 3, dtype=torch.bool),
        "query_targets": torch.randn(2, 5, generator=generator),
        "document_targets": torch.randn(3, 5, generator=generator),
    }
    return read_batch([torch.randn(rows, 2, generator=generator).requires_grad_() for rows in (2, 3)], label)


def spaces(*places):
    return SelectedSpaces(matrices(), places, lambda scores, mask: scores / torch.tensor([2.0, 0.5, 0.25])[:, None])


def test_the_distance_is_the_mean_kl_of_loops():
    expected = []
    for temperature, scores in ((0.5, [1.0, 0.0, 0.0]), (0.25, [0.0, 1.0, 0.0])):
        lists = []
        for count in (3, 2):
            mask = [True] * count
            teacher = softmax([score / 2.0 for score in LIKES_FIRST[:count]], mask)
            lists.append(kl(teacher, softmax([score / temperature for score in scores[:count]], mask)))
        expected.append(sum(lists) / 2)
    assert spaces(1, 2).distances(batch(LIKES_FIRST)).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("teacher", "place"), [(LIKES_FIRST, 0), (LIKES_SECOND, 1)])
def test_the_closest_one_is_regressed_to(teacher, place):
    selecting, one = spaces(1, 2), batch(teacher)
    found = list_terms(one, {"cosine": 1.0}, selecting)["cosine"]
    fixed = list_terms(one, {"cosine": 1.0}, EmbeddingSpaces(matrices()[place], 2))["cosine"]
    assert torch.equal(found, fixed)
    assert not torch.equal(matrices()[0], matrices()[1])


def test_one_that_has_left_the_pool_is_not_taken():
    selecting = spaces(None, 2)
    selecting.choose(batch(LIKES_FIRST))
    assert torch.equal(selecting.matrix, matrices()[1])


def test_the_map_moves_with_the_steps_alone():
    start, end = torch.zeros(5, 2), torch.ones(5, 2)
    spaces = EmbeddingSpaces(start, 2)
    move = MoveTheMap(spaces, start, end)
    for step, expected in ((0, 0.0), (5, 0.5), (10, 1.0), (5, 0.5)):
        move.on_step_begin(None, SimpleNamespace(global_step=step, max_steps=11), None)
        assert np.allclose(spaces.matrix, expected)
