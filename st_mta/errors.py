"""One exception for everything a user can mend, with the four things they need to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

ENDS = (".", "?", "!")


class InputError(ValueError):
    """Something the user gave cannot be used; nothing was lost and nothing half-written.

    Args:
        expected: What would have been right.
        got: What came instead, with its place (file and line, id, shape, value).
        remedy: What to do now.
        consequence: What would have happened had the program gone on, where that is not plain.
    """

    def __init__(self, *, expected: str, got: str, remedy: str, consequence: str = "") -> None:
        self.expected, self.got, self.consequence, self.remedy = expected, got, consequence, remedy
        otherwise = f"Otherwise {consequence}" if consequence else ""
        said = (f"Expected {expected}, got {got}", otherwise, f"To do: {remedy}")
        super().__init__(" ".join(text if text.endswith(ENDS) else f"{text}." for text in said if text))

    def __reduce__(self) -> tuple[Any, ...]:
        """Names its arguments, so that it can be sent to another process."""
        named = {name: getattr(self, name) for name in ("expected", "got", "remedy", "consequence")}
        return partial(type(self), **named), ()


@contextmanager
def loading(expected: str, name: str, remedy: str) -> Iterator[None]:
    """Turns whatever the host, the Hub or the file system may raise inside into an ``InputError``."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        got = f"{name!r} ({type(error).__name__}: {' '.join(str(error).split())})"
        raise InputError(expected=expected, got=got, remedy=remedy) from error
