"""A padded batch as one row, and back."""

from __future__ import annotations

import torch

from st_mta.backbones.rows import PackedRows

MASK = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 1], [1, 1, 1, 1]])


def test_rows_stand_together_by_length_and_empty_ones_vanish():
    rows = PackedRows.of(MASK)
    assert rows.groups == ((1, 1), (3, 2), (4, 1))
    # Row 1, rows 0 and 3 (padded on the left), row 4.
    assert rows.places.tolist() == [4, 0, 1, 2, 13, 14, 15, 16, 17, 18, 19]
    assert rows.columns.tolist() == [[0, 0, 1, 2, 1, 2, 3, 0, 1, 2, 3]]


def test_unpacking_what_was_packed_gives_it_back_with_zeros_for_padding():
    padded = torch.randn(5, 4, 3)
    rows = PackedRows.of(MASK)
    assert torch.equal(rows.unpack(rows.pack(padded)), padded * MASK[..., None])


def test_the_gradient_of_padding_is_zero_and_that_of_tokens_one():
    padded = torch.randn(5, 4, 3, requires_grad=True)
    rows = PackedRows.of(MASK)
    rows.unpack(rows.pack(padded)).sum().backward()
    assert torch.equal(padded.grad, MASK[..., None].expand(5, 4, 3).float())


def test_splitting_and_joining_heads_are_inverse():
    rows = PackedRows.of(MASK)
    heads = torch.randn(1, 2, len(rows.places), 3)
    parts = rows.split(heads)
    assert [tuple(part.shape) for part in parts] == [(1, 2, 1, 3), (2, 2, 3, 3), (1, 2, 4, 3)]
    assert torch.equal(rows.join(parts), heads.transpose(1, 2))
