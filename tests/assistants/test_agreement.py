from __future__ import annotations

import math

import pytest
import torch

from st_mta.assistants.selection import agreement
from st_mta.distributions import masked_log_softmax
from tests import reference


def test_means_equal_the_references():
    generator = torch.Generator().manual_seed(0)
    scores, mask = 2 * torch.randn(12, 4, 6, generator=generator), torch.rand(12, 6, generator=generator) > 0.3
    logs = masked_log_softmax(scores, mask[:, None])
    measured = agreement(logs[:, 0], logs[:, 1:], mask)
    rows = [row for row in range(12) if mask[row].sum() >= 2]
    assert 0 < len(rows) < 13
    for member in range(3):
        cases = [
            (logs[row, 0].exp().tolist(), logs[row, member + 1].exp().tolist(), mask[row].tolist()) for row in rows
        ]
        expected = {
            "kl": [reference.kl(p, q) for p, q, _ in cases],
            "footrule": [reference.footrule(*case) for case in cases],
            "rbo": [1 - reference.rank_biased_distance(*case) for case in cases],
            "top1": [float(max(range(6), key=p.__getitem__) == max(range(6), key=q.__getitem__)) for p, q, _ in cases],
        }
        for name, values in expected.items():
            assert measured[name][member].item() == pytest.approx(sum(values) / len(values), abs=1e-5), name


def test_by_hand():
    teacher, member = torch.tensor([[0.75, 0.25]]).log(), torch.tensor([[[0.25, 0.75], [0.75, 0.25]]]).log()
    measured = agreement(teacher, member, torch.ones(1, 2, dtype=torch.bool))
    assert measured["kl"].tolist() == pytest.approx([0.5 * math.log(3), 0.0])
    assert measured["footrule"].tolist() == [1.0, 0.0]
    # Swapped lists of two have nothing in common at depth 1 and everything at depth 2: 0.9 / (1 + 0.9).
    assert measured["rbo"].tolist() == pytest.approx([0.9 / 1.9, 1.0])
    assert measured["top1"].tolist() == [0.0, 1.0]
