"""The relative term counts by sorting what loops count, ties included."""

from __future__ import annotations

import math

import pytest
import torch

from st_mta.losses.embedding.relative import misordered
from st_mta.losses.embedding.terms import relative
from tests import reference


def draw(seed, size, levels=None, dtype=torch.float64):
    """Similarities of student and teacher; with ``levels`` so few different ones that most are tied."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(2, size, generator=generator, dtype=dtype)
    return (values * levels).floor() / levels if levels else values


def test_by_hand():
    student, teacher = torch.tensor([0.4, 0.1, 0.3]), torch.tensor([0.0, 0.5, 1.0])
    # 0.4 before 0.1: 0.3 + 0.2; 0.4 before 0.3: 0.1 + 0.2; 0.1 before 0.3: right by as much as the margin.
    assert misordered(student, teacher, 0.2).item() == pytest.approx((0.5 + 0.3 + 0.0) / 3)


@pytest.mark.parametrize("levels", [None, 4], ids=["distinct", "tied"])
@pytest.mark.parametrize("size", [2, 3, 7, 8, 9, 33])
def test_it_equals_loops(size, levels):
    for seed in range(5):
        student, teacher = draw(seed, size, levels)
        for margin in (0.015, 0.3):
            expected = reference.misordered(student.tolist(), teacher.tolist(), margin)
            assert misordered(student, teacher, margin).item() == pytest.approx(expected, abs=1e-12)


def test_teacher_ties_alone_and_student_ties_alone():
    values, same = draw(0, 20)[0], torch.zeros(20, dtype=torch.float64)
    assert misordered(values, same, 0.015).item() == 0
    assert misordered(same, values, 0.015).item() == pytest.approx(0.015)


@pytest.mark.parametrize("levels", [None, 3], ids=["distinct", "tied"])
def test_gradcheck(levels):
    student, teacher = draw(1, 12)[0], draw(2, 12, levels)[1]
    assert torch.autograd.gradcheck(lambda s: misordered(s, teacher, 0.1), student.requires_grad_())


@pytest.mark.parametrize("size", [0, 1])
def test_nothing_to_compare_is_zero_with_a_gradient(size):
    student = torch.rand(size, requires_grad=True)
    value = misordered(student, torch.rand(size), 0.1)
    value.backward()
    assert value.item() == 0 and (student.grad == 0).all()


def test_a_large_batch_takes_linear_memory_and_equals_a_matrix():
    student, teacher = draw(3, 3000, dtype=torch.float32)
    student.requires_grad_()
    misordered(student, teacher, 0.015).backward()
    whole = student.detach().clone().requires_grad_()
    below = teacher[:, None] < teacher
    terms = torch.where(below, torch.relu(whole[:, None] - whole + 0.015), 0.0)
    expected = terms.double().sum() / (3000 * 2999 / 2)
    expected.backward()
    assert misordered(student, teacher, 0.015).item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(student.grad, whole.grad, atol=1e-9, rtol=1e-4)


def test_what_rounding_alone_tells_apart_is_equal():
    """Two similarities of the teacher that differ in the eighth digit count no more than two equal ones."""

    def planar(*cosines):
        rows = [(cosine, sign * math.sqrt(1 - cosine**2)) for cosine, sign in zip(cosines, (1, 1, -1))]
        return torch.tensor(rows, dtype=torch.float64)

    student = planar(1.0, 0.9, 0.1)
    values = [relative(student, planar(1.0, 0.5, other)).item() for other in (0.5, 0.5 + 3e-8, 0.6)]
    assert values[0] == values[1] != values[2]
