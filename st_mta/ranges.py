"""Which numbers an option may have, written where the option is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from st_mta.errors import InputError

LARGEST = 2**31
"""Counts stay below it: more would overflow the 32-bit numbers of the libraries underneath."""


@dataclass(frozen=True)
class Range:
    """The numbers from ``low`` to ``high``; infinity and NaN are in none.

    Args:
        low: The least.
        high: The greatest.
        without: Ends that are not in it themselves.
        besides: Other numbers that are allowed, for what a library understands by them.
    """

    low: float = -math.inf
    high: float = math.inf
    without: tuple[float, ...] = ()
    besides: tuple[float, ...] = ()

    def __contains__(self, number: Any) -> bool:
        if isinstance(number, bool) or not isinstance(number, Real):
            return False
        inside = self.low <= float(number) <= self.high and number not in (*self.without, math.inf, -math.inf)
        return bool(inside) or number in self.besides

    def __str__(self) -> str:
        least = f"above {self.low}" if self.low in self.without else f"at least {self.low}"
        most = f"below {self.high}" if self.high in self.without else f"at most {self.high}"
        if self.high == math.inf:
            words = "positive and finite" if (self.low, self.without) == (0, (0,)) else f"{least} and finite"
        elif self.high == LARGEST:
            words = f"{least} and below 2**31"
        elif self.high == 2**32:
            words = f"between {self.low} and 2**32 - 1"
        elif not self.without:
            words = f"between {self.low} and {self.high}"
        else:
            words = f"{least} and {most}"
        return " or ".join([*(f"{number:g}" for number in self.besides), words])


def count_from(low: int, besides: tuple[float, ...] = ()) -> Range:
    """Whole numbers from this one to what 32 bits hold."""
    return Range(low, LARGEST, without=(LARGEST,), besides=besides)


POSITIVE, NOT_NEGATIVE = Range(0, without=(0,)), Range(0)
SHARE, PROPER_SHARE = Range(0, 1), Range(0, 1, without=(0, 1))
SEED = Range(0, 2**32, without=(2**32,))
"""What numpy takes; Python and torch take more."""


def check_number(name: str, value: object, within: Any) -> None:
    """Raises ``InputError`` unless the value is None or within the range."""
    if value is not None and value not in within:
        raise InputError(expected=f"{name} {within}", got=repr(value), remedy=f"change {name}")


def checked_whole_number(name: str, value: object, within: Range) -> int:
    """The value as a number of Python; raises ``InputError`` unless it is whole and within the range."""
    if not isinstance(value, Integral) or value not in within:
        raise InputError(expected=f"{name} as a whole number, {within}", got=repr(value), remedy=f"change {name}")
    return int(value)


def check_ranks(range_min: int, range_max: int) -> None:
    """Raises ``InputError`` unless some ranks are left between the two."""
    if range_min >= range_max:
        check_number("range_min", range_min, Range(0, range_max - 1))
