"""Texts of others on a terminal: shown, not obeyed."""

from __future__ import annotations


def visible(text: str) -> str:
    """The text with characters that a terminal would obey (escapes, changes of direction) written out."""
    return "".join(
        sign if sign.isprintable() or sign == "\n" else sign.encode("unicode_escape").decode() for sign in text
    )
