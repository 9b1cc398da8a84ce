"""A padded batch as one row of all its tokens, and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


class CannotPack(Exception):
    """A backbone asks for something that rows without padding have not."""


@dataclass(frozen=True)
class PackedRows:
    """Where the T tokens of a batch of R rows, padded to L, stand in one row: the shortest rows first.

    Attributes:
        places: (T,) int64, place of each packed token in the padded batch, read row after row (R * L places).
        groups: Rows of equal length, ascending: (length, how many).
        shape: (R, L).
    """

    places: Tensor
    groups: tuple[tuple[int, int], ...]
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: Tensor) -> PackedRows:
        """The rows of a mask (R, L), nonzero where there is a token; rows without one vanish."""
        there = mask != 0
        lengths, order = there.sum(dim=1).sort(stable=True)
        found, counts = torch.unique_consecutive(lengths, return_counts=True)
        groups = tuple((length, count) for length, count in zip(found.tolist(), counts.tolist()) if length)
        row, column = there[order].nonzero(as_tuple=True)
        return cls(order[row] * mask.shape[1] + column, groups, (mask.shape[0], mask.shape[1]))

    @cached_property
    def sizes(self) -> list[int]:
        """Tokens of each group."""
        return [length * count for length, count in self.groups]

    @property
    def columns(self) -> Tensor:
        """(1, T) int64, the column of each token in the padded batch."""
        return (self.places % self.shape[1])[None]

    def pack(self, padded: Tensor) -> Tensor:
        """(R, L, ...) -> (1, T, ...)."""
        return padded.flatten(0, 1)[self.places][None]

    def unpack(self, packed: Tensor) -> Tensor:
        """(1, T, ...) -> (R, L, ...), zero where there is no token."""
        rows, length = self.shape
        empty = packed.new_zeros(rows * length, *packed.shape[2:])
        padded: Tensor = empty.index_copy(0, self.places, packed[0])
        return padded.view(rows, length, *packed.shape[2:])

    def split(self, packed: Tensor) -> list[Tensor]:
        """(1, H, T, d) -> (count, H, length, d) of every group."""
        parts = torch.split(packed.transpose(1, 2)[0], self.sizes)
        return [
            part.view(count, length, *part.shape[1:]).transpose(1, 2)
            for part, (length, count) in zip(parts, self.groups)
        ]

    @staticmethod
    def join(parts: list[Tensor]) -> Tensor:
        """The groups' (count, H, length, d) -> (1, T, H, d)."""
        return torch.cat([part.transpose(1, 2).flatten(0, 1) for part in parts])[None]
