"""What every term of embedding distillation promises: the list is ``TERMS``."""

from __future__ import annotations

import pytest
import torch

from st_mta.errors import InputError
from st_mta.losses.embedding.terms import TERMS, check_terms, embedding_terms
from tests import reference

OVER_BATCH = [word for word, term in TERMS.items() if term.over_batch]
OVER_ROWS = [word for word, term in TERMS.items() if not term.over_batch]


@pytest.fixture(params=TERMS)
def word(request):
    return request.param


@pytest.fixture
def compute(word):
    return TERMS[word].compute


def draw(seed=0, rows=9, width=5):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(width, seed=7):
    return torch.linalg.qr(draw(seed, width, width)).Q


def test_it_equals_its_reference(word, compute):
    for rows in (3, 4, 12):
        student, targets = draw(rows, rows), draw(rows + 1, rows)
        expected = getattr(reference, f"embedding_{word}")(student.tolist(), targets.tolist())
        assert compute(student, targets).item() == pytest.approx(expected, abs=1e-12)


def test_gradcheck(compute):
    student, targets = draw(1, 6).requires_grad_(), draw(2, 6)
    assert torch.autograd.gradcheck(lambda s: compute(s, targets), student)


def test_the_order_of_the_batch_does_not_matter(compute):
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    student, targets = draw(1), draw(2)
    torch.testing.assert_close(compute(student[order], targets[order]), compute(student, targets))


def test_a_common_rotation_changes_nothing(compute):
    turn = rotation(5)
    student, targets = draw(1), draw(2)
    torch.testing.assert_close(compute(student @ turn, targets @ turn), compute(student, targets))


@pytest.mark.parametrize("word", OVER_BATCH)
def test_over_the_batch_each_side_may_turn_and_be_as_wide_as_it_likes(word, compute):
    student, targets = draw(1), draw(2)
    wide = torch.nn.functional.pad(targets, (0, 4)) @ rotation(9)
    torch.testing.assert_close(compute(student @ rotation(5), wide), compute(student, targets))


@pytest.mark.parametrize("word", [*OVER_ROWS, "gram"])
def test_a_distance_is_zero_where_both_are_equal_and_only_there(word, compute):
    student = draw(1).requires_grad_()
    value = compute(student, student.detach())
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(student.grad, torch.zeros_like(student), atol=1e-10, rtol=0)
    assert compute(draw(1), draw(2)) > 0.01


def test_relative_is_zero_where_the_order_is_the_teachers_and_wide_enough():
    angles = torch.tensor([0.0, 0.3, 0.9, 2.1])
    rows = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert TERMS["relative"].compute(rows, rows) == 0
    assert TERMS["relative"].compute(rows.flip(0)[[0, 2, 1, 3]], rows) > 0


def test_spread_is_zero_for_orthogonal_directions_and_one_for_a_single_one():
    assert TERMS["spread"].compute(torch.eye(4), torch.eye(4)) == 0
    # M1^2 = 1 and M2 - 1/4 = 3/4
    assert TERMS["spread"].compute(torch.ones(3, 4), torch.eye(3)).item() == pytest.approx(1.75)


def test_gram_by_hand():
    student, targets = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0, 0.0], [3.0, 0.0, 4.0]])
    assert TERMS["gram"].compute(student, targets).item() == pytest.approx(2 * 0.6**2 / 4)


def test_following_its_gradient_lowers_it(word):
    student = draw(1).requires_grad_()
    optimizer = torch.optim.Adam([student], lr=0.02)
    values = []
    for _ in range(200):
        optimizer.zero_grad()
        value = embedding_terms(student, draw(2), {word: 1.0})[word]
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.35 * values[0]


@pytest.mark.parametrize("rows", [1, 2])
def test_few_rows_and_a_zero_row_have_finite_gradients(word, rows):
    student = torch.cat([torch.zeros(1, 5), torch.ones(rows - 1, 5)]).requires_grad_()
    value = embedding_terms(student, torch.ones(rows, 5), {word: 1.0})[word]
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()


def test_bf16_is_computed_in_float32_also_under_autocast(word):
    student, targets = draw(1).bfloat16(), draw(2).bfloat16()
    expected = embedding_terms(student.float(), targets.float(), {word: 1.0})[word]
    with torch.autocast("cpu", torch.bfloat16):
        value = embedding_terms(student, targets, {word: 1.0})[word]
    assert value.dtype == torch.float32 and torch.equal(value, expected)


def test_targets_get_no_gradient_and_weights_weigh(word):
    student, targets = draw(1).requires_grad_(), draw(2).requires_grad_()
    once, thrice = (embedding_terms(student, targets, {word: weight})[word] for weight in (1.0, 3.0))
    thrice.backward()
    assert targets.grad is None and thrice.item() == pytest.approx(3 * once.item())


def test_rows_are_compared_in_the_space_they_are_aligned_in_and_the_batch_in_its_own():
    student, targets, ours, theirs = draw(1), draw(2, width=7), draw(3, rows=4), draw(4, rows=4)
    terms = embedding_terms(student, targets, {"gram": 2.0, "cosine": 0.5, "mse": 0.0}, aligned=(ours, theirs))
    assert list(terms) == ["gram", "cosine"]
    torch.testing.assert_close(terms["gram"], 2 * TERMS["gram"].compute(student, targets))
    torch.testing.assert_close(terms["cosine"], 0.5 * TERMS["cosine"].compute(ours, theirs))


@pytest.mark.parametrize(
    ("targets", "words"),
    [(draw(2, width=7), {"cosine": 1.0}), (draw(2, rows=8), {"gram": 1.0}), (draw(2)[0], {"mse": 1.0})],
    ids=["width", "rows", "shape"],
)
def test_targets_of_another_shape_are_refused(targets, words):
    with pytest.raises(InputError, match="targets of the 9 rows"):
        embedding_terms(draw(1), targets, words)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"euclid": 1.0}, "cosine, mse, l2"),
        ({"mse": -1.0}, "weight of 'mse'"),
        ({"mse": 0.0}, "at least one"),
        ({}, "got {}"),
    ],
)
def test_weights_that_make_no_loss_are_refused(weights, message):
    with pytest.raises(InputError, match=message):
        embedding_terms(draw(1), draw(2), weights)


@pytest.mark.parametrize("weight", ["x", None, True, -1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(InputError, match="weight of 'cosine'"):
        check_terms({"cosine": weight})
