"""The map between the spaces: which side it moves, what it begins with, and what survives a file."""

from __future__ import annotations

import pytest
import torch

from st_mta.errors import InputError
from st_mta.losses.embedding import EmbeddingSpaces, read_map
from st_mta.procrustes import Moments, fit_procrustes
from tests.losses.embedding.conftest import normal, orthonormal

TRAINED = ["learned", "orthogonal"]
SHAPES = [(12, 5), (4, 5), (5, 5)]


def moments(teacher_dim, width, rows=40):
    found = Moments()
    found.add(normal(rows, teacher_dim).numpy(), normal(rows, width, seed=1).numpy())
    return found


def fitted(kind, teacher_dim=12, width=5):
    spaces = EmbeddingSpaces(kind, width)
    spaces.fit(moments(teacher_dim, width))
    return spaces


@pytest.mark.parametrize(("teacher_dim", "width"), SHAPES)
def test_procrustes_leads_targets_to_the_student_and_keeps_their_length(teacher_dim, width):
    spaces, student, targets = fitted("procrustes", teacher_dim, width), normal(7, width), normal(7, teacher_dim)
    ours, theirs = spaces.align(student, targets)
    matrix = torch.from_numpy(fit_procrustes(normal(40, teacher_dim).numpy(), normal(40, width, seed=1).numpy()))
    assert torch.equal(ours, student) and torch.equal(spaces.as_matrix(), matrix)
    torch.testing.assert_close(theirs.norm(dim=1), targets.norm(dim=1))
    torch.testing.assert_close(torch.cosine_similarity(theirs, targets @ matrix), torch.ones(7))


def test_a_cut_student_meets_the_same_dimensions_of_the_mapped_target():
    spaces, targets = fitted("procrustes"), normal(7, 12)
    ours, theirs = spaces.align(normal(7, 3), targets)
    assert ours.shape == theirs.shape == (7, 3)
    torch.testing.assert_close(torch.cosine_similarity(theirs, (targets @ spaces.matrix)[:, :3]), torch.ones(7))


@pytest.mark.parametrize("kind", TRAINED)
@pytest.mark.parametrize(("teacher_dim", "width"), SHAPES)
def test_a_trained_map_begins_with_the_fitted_one(kind, teacher_dim, width):
    spaces, student, targets = fitted(kind, teacher_dim, width), normal(7, width), normal(7, teacher_dim)
    ours, theirs = spaces.align(student, targets)
    torch.testing.assert_close(ours, student @ spaces.matrix.T, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(spaces.to_teacher(student), ours.detach())
    assert torch.equal(theirs, targets) and ours.requires_grad
    assert sum(parameter.numel() for parameter in spaces.parameters()) > 0


@pytest.mark.parametrize("kind", TRAINED)
def test_a_cut_student_goes_through_a_trained_map_with_zeros(kind):
    spaces, student = fitted(kind), normal(7, 3)
    ours, _ = spaces.align(student, normal(7, 12))
    torch.testing.assert_close(ours, student @ spaces.as_matrix()[:, :3].T)


def test_an_orthogonal_map_stays_orthogonal_as_it_learns():
    spaces, targets = fitted("orthogonal"), normal(7, 12)
    optimizer = torch.optim.Adam(spaces.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        ours, theirs = spaces.align(normal(7, 5), targets)
        (ours - theirs).square().mean().backward()
        optimizer.step()
    matrix = spaces.as_matrix()
    assert (matrix - spaces.matrix).abs().max() > 0.05
    torch.testing.assert_close(matrix.T @ matrix, torch.eye(5), atol=1e-5, rtol=0)


def test_a_fixed_map_leads_back_to_where_its_targets_came_from():
    spaces = EmbeddingSpaces(orthonormal(5, 12).T, 5)
    targets = normal(7, 5) @ orthonormal(5, 12)
    _, theirs = spaces.align(normal(7, 5), targets)
    torch.testing.assert_close(spaces.to_teacher(theirs), targets)
    assert spaces.ready and not list(spaces.parameters())


def test_equal_widths_need_no_map():
    student, targets = normal(7, 5), normal(7, 5, seed=1)
    for kind in ("procrustes", "none"):
        assert all(map(torch.equal, EmbeddingSpaces(kind, 5).align(student, targets), (student, targets)))
        assert torch.equal(EmbeddingSpaces(kind, 5).align(student[:, :2], targets)[1], targets[:, :2])
        assert torch.equal(EmbeddingSpaces(kind, 5).to_teacher(student), student)


@pytest.mark.parametrize("kind", ["procrustes", *TRAINED])
def test_a_saved_map_is_the_same(kind, tmp_path):
    spaces, other = fitted(kind), EmbeddingSpaces(kind, 5)
    spaces.save(tmp_path / "new" / "folder")
    other.load(tmp_path / "new" / "folder")
    student = normal(7, 5)
    torch.testing.assert_close(other.to_teacher(student), spaces.to_teacher(student), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(read_map(tmp_path / "new" / "folder"), spaces.as_matrix(), atol=0, rtol=0)


@pytest.mark.parametrize("kind", ["procrustes", *TRAINED])
def test_a_state_brings_the_map_along(kind):
    spaces, other = fitted(kind), EmbeddingSpaces(kind, 5)
    other.load_state_dict(spaces.state_dict(), strict=False)
    assert other.state_dict().keys() == spaces.state_dict().keys()
    assert all(torch.equal(other.state_dict()[name], value) for name, value in spaces.state_dict().items())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EmbeddingSpaces("procrustes", 5), "12 dimensions and the student's 5, got none fitted.*loss.fit"),
        (lambda: EmbeddingSpaces("procrustes", 5), "map='learned', teacher_dim=12"),
        (lambda: EmbeddingSpaces("learned", 5), "teacher_dim=12"),
        (lambda: EmbeddingSpaces("none", 5), "got none"),
        (lambda: fitted("procrustes", 9), "got one from 9"),
        (lambda: EmbeddingSpaces("learned", 5, teacher_dim=9), "got one to 9"),
    ],
)
def test_targets_that_no_map_was_made_for_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make().align(normal(7, 5), normal(7, 12))


def test_what_is_no_map_is_refused(tmp_path):
    with pytest.raises(InputError, match="map to be one of procrustes, learned, orthogonal, none"):
        EmbeddingSpaces("linear", 5)
    with pytest.raises(InputError, match=r"a map \(D, 5\)"):
        EmbeddingSpaces(normal(5, 12), 5)
    with pytest.raises(InputError, match="a layer for 9"):
        EmbeddingSpaces("learned", 5, teacher_dim=9).fit(moments(12, 5))
    with pytest.raises(InputError, match="map='none'"):
        EmbeddingSpaces("none", 5).save(tmp_path)
    with pytest.raises(InputError, match="a saved map"):
        read_map(tmp_path)
