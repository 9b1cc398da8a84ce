"""Attention of packed rows beside an independent formula in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from st_mta.backbones import attention as module
from st_mta.backbones.attention import PackedMask, attend, attention
from st_mta.backbones.rows import CannotPack, PackedRows

LENGTHS = [3, 1, 4, 3]
ROWS = PackedRows.of(torch.arange(4) < torch.tensor(LENGTHS)[:, None])
TOKENS = sum(LENGTHS)


def reference(query, key, value, scaling, allowed):
    """softmax(scaling q k^T) v row by row and head by head, in float64; ``allowed(i, j)`` within a row."""
    query, key, value = (side[0].double() for side in (query, key, value))
    out = torch.zeros(TOKENS, query.shape[0], query.shape[2], dtype=torch.float64)
    start = 0
    for length in sorted(LENGTHS):
        for head in range(query.shape[0]):
            of = head * key.shape[0] // query.shape[0]
            for i in range(length):
                seen = [j for j in range(length) if allowed(i, j)]
                logits = torch.stack([scaling * query[head, start + i] @ key[of, start + j] for j in seen])
                weights = logits.exp() / logits.exp().sum()
                out[start + i, head] = sum(weight * value[of, start + j] for weight, j in zip(weights, seen))
        start += length
    return out


def sides(heads=4, of_keys=4, dtype=torch.float32):
    torch.manual_seed(0)
    return [torch.randn(1, count, TOKENS, 8).to(dtype) for count in (heads, of_keys, of_keys)]


@pytest.mark.parametrize("of_keys", [4, 2])
@pytest.mark.parametrize(
    "allowed", [lambda i, j: True, lambda i, j: j <= i, lambda i, j: abs(i - j) <= 1], ids=["all", "causal", "window"]
)
def test_each_row_looks_at_itself_alone(allowed, of_keys):
    query, key, value = sides(of_keys=of_keys)

    def function(batch, head, i, j):
        return (i == i) & (j == j) if allowed(0, 9) else (j <= i if allowed(9, 0) else (i - j).abs() <= 1)

    found, _ = attend(nn.Module(), query, key, value, PackedMask(function, ROWS), scaling=0.4, packed_rows=ROWS)
    expected = reference(query, key, value, 0.4, allowed)
    assert torch.allclose(found[0].double(), expected, atol=1e-6)


def test_a_value_by_hand():
    """Two tokens, logits 0 and ln 3 for the first: a quarter of the first value and three of the second."""
    query = torch.tensor([[[[1.0], [0.0]]]])
    key = torch.tensor([[[[0.0], [torch.log(torch.tensor(3.0))]]]])
    value = torch.tensor([[[[4.0], [8.0]]]])
    assert attention(query, key, value, None, 0.0, 1.0).flatten().tolist() == pytest.approx([7.0, 6.0])


@pytest.mark.parametrize("rows, length", [(100, 6), (1, 6), (3, 140)], ids=["plain", "few", "long"])
def test_in_bf16_each_way_is_the_formula_up_to_rounding(rows, length):
    torch.manual_seed(0)
    query, key, value = (torch.randn(rows, 2, length, 16).bfloat16() for _ in range(3))
    bias = torch.randn(1, 2, length, length)
    logits = query.double() @ key.double().mT / 4 + bias
    expected = logits.softmax(dim=-1) @ value.double()
    found = attention(query, key, value, bias, 0.0, None)
    assert found.dtype == torch.bfloat16
    assert (found.double() - expected).norm() / expected.norm() < 1e-2


def test_the_gradients_of_both_ways_agree(monkeypatch):
    torch.manual_seed(0)
    given = [torch.randn(50, 2, 6, 8).bfloat16() for _ in range(3)]
    gradients = []
    for fewest in (1, 10**9):
        monkeypatch.setattr(module, "FEWEST_TOKENS", fewest)
        leaves = [side.clone().requires_grad_() for side in given]
        with torch.autocast("cpu", torch.bfloat16):
            attention(*leaves, None, 0.0, None).float().square().sum().backward()
        gradients.append(torch.cat([leaf.grad.flatten() for leaf in leaves]).float())
    assert (gradients[0] - gradients[1]).norm() / gradients[1].norm() < 2e-2


def test_padded_rows_in_bf16_go_through_the_hosts_kernel_in_fp32(monkeypatch):
    seen = []
    real = torch.nn.functional.scaled_dot_product_attention

    def spy(query, *given, **named):
        seen.append(query.dtype)
        return real(query, *given, **named)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    given = [torch.randn(2, 2, 5, 8).bfloat16() for _ in range(3)]
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = attend(nn.Module(), *given, None, is_causal=False)
    assert seen == [torch.float32] and found.dtype == torch.bfloat16


@pytest.mark.parametrize("more", [{"softcap": 30.0}, {"position_bias": torch.zeros(1)}, {"is_causal": True}])
def test_what_is_not_computed_here_is_refused(more):
    with pytest.raises(CannotPack):
        attend(nn.Module(), *sides(), None, packed_rows=ROWS, **more)


def test_a_mask_of_the_backbones_own_is_refused():
    with pytest.raises(CannotPack, match="masks"):
        attend(nn.Module(), *sides(), torch.zeros(1, 1, TOKENS, TOKENS), packed_rows=ROWS)


def test_dropout_drops_whole_weights():
    torch.manual_seed(0)
    value = torch.ones(300, 1, 4, 8).bfloat16()
    found = attention(torch.zeros_like(value), torch.zeros_like(value), value, None, 0.5, None)
    assert {round(number, 2) for number in found.float().unique().tolist()} == {0.0, 0.5, 1.0, 1.5, 2.0}
    assert float(found.float().mean()) == pytest.approx(1.0, abs=0.1)


def test_in_bf16_a_mask_says_where_to_look():
    torch.manual_seed(0)
    query, key, value = (torch.randn(100, 2, 6, 16).bfloat16() for _ in range(3))
    allowed = torch.ones(6, 6, dtype=torch.bool).tril()
    logits = (query.double() @ key.double().mT / 4).masked_fill(~allowed, -torch.inf)
    expected = logits.softmax(dim=-1) @ value.double()
    found = attention(query, key, value, allowed, 0.0, None).double()
    assert (found - expected).norm() / expected.norm() < 1e-2
