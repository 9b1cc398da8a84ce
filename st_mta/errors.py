"""One exception for everything a user can mend, with the four things they need to mend it."""

from __future__ import annotations


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
        otherwise = f" Otherwise {consequence}." if consequence else ""
        super().__init__(f"Expected {expected}, got {got}.{otherwise} To do: {remedy}.")
