"""Every calibration equals its reference and has the invariances its formula implies."""

from __future__ import annotations

import math

import pytest
import torch

from st_mta.assistants.calibration import CALIBRATIONS, calibrate, fit_temperatures
from st_mta.errors import InputError
from tests import reference


@pytest.fixture(params=CALIBRATIONS)
def calibration(request):
    return request.param


@pytest.fixture
def mask():
    mask = torch.rand(20, 7, generator=torch.Generator().manual_seed(1)) > 0.3
    mask[0], mask[1] = False, torch.arange(7) == 2
    return mask


@pytest.fixture
def scores(mask):
    """Teacher, a good and a weak assistant, on three scales; query 2 is all ties; masked ones are rubbish."""
    noise = torch.randn(20, 3, 7, generator=torch.Generator().manual_seed(0))
    scores = torch.stack([5 * noise[:, 0], noise[:, 0] + 0.5 * noise[:, 1], 20 * noise[:, 2] + 8 * noise[:, 0]], dim=1)
    scores[2] = 4.0
    return scores.masked_fill(~mask[:, None], torch.nan)


def expected_temperatures(scores, mask, calibration, target):
    """By the references."""
    rows, masks = scores.nan_to_num().double().transpose(0, 1).tolist(), mask.tolist()
    if calibration == "zscore":
        return [reference.zscore_temperature(one, masks, target) for one in rows]
    if calibration == "temperature":
        return [reference.temperature(one, masks, target) for one in rows]
    teacher = reference.temperature(rows[0], masks, target)
    logits = [[score / teacher for score in row] for row in rows[0]]
    return [teacher, *(reference.affine_temperature(one, logits, masks) for one in rows[1:])]


@pytest.mark.parametrize("target", [0.2, 0.7])
def test_temperatures_equal_the_reference(scores, mask, calibration, target):
    expected = expected_temperatures(scores, mask, calibration, target)
    assert fit_temperatures(scores, mask, calibration, target) == pytest.approx(expected, rel=1e-5)


def test_calibrated_scores_equal_the_reference(scores, mask, calibration):
    calibrated = calibrate(scores, mask, [2.0, 3.0, 0.5], calibration)
    for row, inside in enumerate(mask.tolist()):
        for scorer, temperature in enumerate([2.0, 3.0, 0.5]):
            values = scores[row, scorer].nan_to_num().tolist()
            values = reference.standardise(values, inside) if calibration == "zscore" else values
            wanted = [value / temperature for value, valid in zip(values, inside) if valid]
            assert calibrated[row, scorer][mask[row]].tolist() == pytest.approx(wanted, abs=1e-5)


def calibrated_distributions(scores, mask, calibration):
    temperatures = fit_temperatures(scores, mask, calibration)
    calibrated = calibrate(scores, mask, temperatures, calibration)
    return calibrated.masked_fill(~mask[:, None], -torch.inf).softmax(-1)[mask.any(-1)]


def test_the_unit_and_offset_of_a_scorer_do_not_matter(scores, mask, calibration):
    unit, offset = torch.tensor([3.0, 0.1, 50.0])[:, None], torch.tensor([1.0, -3.0, 100.0])[:, None]
    expected = calibrated_distributions(scores, mask, calibration)
    torch.testing.assert_close(
        calibrated_distributions(unit * scores + offset, mask, calibration), expected, atol=1e-4, rtol=0
    )


def test_every_query_may_have_its_own_offset(scores, mask, calibration):
    offset = torch.randn(20, 3, 1, generator=torch.Generator().manual_seed(5))
    expected = calibrated_distributions(scores, mask, calibration)
    torch.testing.assert_close(
        calibrated_distributions(scores + offset, mask, calibration), expected, atol=1e-4, rtol=0
    )


def test_with_zscores_every_query_may_have_its_own_unit(scores, mask):
    unit = torch.rand(20, 3, 1, generator=torch.Generator().manual_seed(5)) + 0.1
    expected = calibrated_distributions(scores, mask, "zscore")
    torch.testing.assert_close(calibrated_distributions(unit * scores, mask, "zscore"), expected, atol=1e-4, rtol=0)


def test_the_order_of_candidates_and_queries_does_not_matter(scores, mask, calibration):
    expected = fit_temperatures(scores, mask, calibration)
    columns, rows = (torch.randperm(size, generator=torch.Generator().manual_seed(2)) for size in (7, 20))
    permuted = fit_temperatures(scores[rows][..., columns], mask[rows][:, columns], calibration)
    assert permuted == pytest.approx(expected, rel=1e-6)


def test_the_order_of_assistants_does_not_matter(scores, mask, calibration):
    teacher, first, second = fit_temperatures(scores, mask, calibration)
    assert fit_temperatures(scores[:, [0, 2, 1]], mask, calibration) == [teacher, second, first]


def test_identical_scorers_get_identical_temperatures(scores, mask, calibration):
    temperatures = fit_temperatures(scores[:, [0, 0, 0]], mask, calibration)
    assert temperatures == pytest.approx([temperatures[0]] * 3, rel=1e-6)


def test_the_teacher_alone(scores, mask, calibration):
    assert fit_temperatures(scores[:, :1], mask, calibration) == fit_temperatures(scores, mask, calibration)[:1]


def test_temperatures_may_be_a_tensor_that_need_not_be_copied(scores, mask, calibration, monkeypatch):
    temperatures = fit_temperatures(scores, mask, calibration)
    expected, given = (
        calibrate(scores, mask, temperatures, calibration),
        torch.tensor(temperatures, dtype=scores.dtype),
    )
    for name in ("tensor", "new_tensor"):
        monkeypatch.setattr(torch if name == "tensor" else torch.Tensor, name, None)
    assert torch.equal(calibrate(scores, mask, given, calibration).nan_to_num(), expected.nan_to_num())


def test_half_precision_scores_are_accepted(scores, mask, calibration):
    half = scores.bfloat16()
    measured = fit_temperatures(half, mask, calibration)
    assert measured == pytest.approx(fit_temperatures(half.float(), mask, calibration), rel=1e-6)
    assert calibrate(half, mask, measured, calibration).dtype == torch.float32


def test_zscore_by_hand():
    # Both queries standardise to (-1, 1); softmax(2 / T) = 3/4 means 2 / T = log 3.
    target = -(3 / 4 * math.log(3 / 4) + 1 / 4 * math.log(1 / 4)) / math.log(2)
    scores = torch.tensor([[[0.0, 6.0]], [[5.0, 5.1]]])
    everyone = torch.ones(2, 2, dtype=torch.bool)
    assert fit_temperatures(scores, everyone, "zscore", target) == pytest.approx([2 / math.log(3)])


def test_affine_by_hand():
    target = -(3 / 4 * math.log(3 / 4) + 1 / 4 * math.log(1 / 4)) / math.log(2)
    # The teacher's logits are (0, log 3) in both queries; the assistant has (0, 1) and, the wrong way round, (9.5, 9).
    scores = torch.tensor([[[0.0, 6.0], [0.0, 1.0]], [[0.0, 6.0], [9.5, 9.0]]])
    everyone = torch.ones(2, 2, dtype=torch.bool)
    # Half of the products of the differences: covariance log 3 * (1 - .5) / 2, variance (1 + .25) / 2.
    slope = math.log(3) * (1 - 0.5) / (1 + 0.25)
    assert fit_temperatures(scores, everyone, "affine", target) == pytest.approx([6 / math.log(3), 1 / slope])


def test_affine_leaves_an_assistant_that_knows_little_flat(scores, mask):
    def entropies(calibration):
        p = calibrated_distributions(scores, mask, calibration)
        return -(p * p.clamp(min=1e-30).log()).sum(-1).mean(0)

    assert entropies("affine")[2] > 1.2 * entropies("temperature")[2]


def test_affine_refuses_an_assistant_against_the_teacher_by_name(scores, mask):
    scores[:, 2] *= -1
    with pytest.raises(InputError, match="scores of assistant 2 that rise with the teacher's"):
        fit_temperatures(scores, mask, "affine")
    with pytest.raises(InputError, match="scores of bm25 .* leave this assistant out"):
        fit_temperatures(scores, mask, "affine", names=["ce", "minilm", "bm25"])


def test_constant_and_broken_scores_are_refused_by_name(scores, mask, calibration):
    constant = scores.clone()
    constant[:, 1] = 0.1
    with pytest.raises(InputError, match="scores of assistant 1 that differ within a query"):
        fit_temperatures(constant, mask, calibration)
    scores[4, 1, mask[4].nonzero()[0]] = torch.inf
    with pytest.raises(InputError, match="finite scores from minilm"):
        fit_temperatures(scores, mask, calibration, names=["ce", "minilm", "bm25"])


def test_an_unknown_calibration_is_refused(scores, mask):
    with pytest.raises(InputError, match="calibration to be one of temperature, zscore, affine, got 'minmax'"):
        fit_temperatures(scores, mask, "minmax")
