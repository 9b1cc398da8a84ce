"""One exception for everything a user can mend, with the four things they need to mend it."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user gave cannot be used; nothing was lost and nothing half-written.

    Args:
        expected: What would have been right.
        got: What came instead, with its place (file and line, id, shape, value).
        consequence: What would have happened had the program gone on.
        remedy: What to do now.
    """

    def __init__(self, *, expected: str, got: str, consequence: str, remedy: str) -> None:
        self.expected, self.got, self.consequence, self.remedy = expected, got, consequence, remedy
        super().__init__(f"Expected {expected}, got {got}. Otherwise {consequence}. To do: {remedy}.")
