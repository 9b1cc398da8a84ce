"""Options of documents that are read in windows."""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.errors import InputError
from st_mta.options import option
from st_mta.ranges import count_from
from st_mta.training.options.groups import CANDIDATES


@dataclass(kw_only=True)
class WindowOptions:
    """How documents are cut, and ranked by their windows."""

    windows: int | None = option(
        None,
        within=count_from(1),
        group=CANDIDATES,
        help="Cut every document into windows of so many words, for teacher, assistants and student; documents are "
        "ranked and judged, each by its best window (MaxP). None reads passages as they are.",
    )
    window_stride: int | None = option(
        None,
        within=count_from(1),
        group=CANDIDATES,
        help="Words from the beginning of a window to that of the next; None is half a window.",
    )
    best_windows: int | None = option(
        None,
        within=count_from(1),
        group=CANDIDATES,
        help="A document's score is the sum of those of so many of its windows, the best ones; None is 1.",
    )

    def _check_windows(self) -> None:
        given = [name for name in ("window_stride", "best_windows") if getattr(self, name) is not None]
        if self.windows is None and given:
            raise InputError(
                expected="windows to say how many words a window has",
                got=f"{given[0]}={getattr(self, given[0])} and no windows",
                remedy=f"set windows, or leave {given[0]} out",
            )
        if self.windows is not None and (self.window_stride or 1) > self.windows:
            raise InputError(
                expected=f"a window_stride of at most {self.windows}, the words of a window",
                got=str(self.window_stride),
                consequence="words between two windows would never be read",
                remedy="choose a smaller stride",
            )
