"""Texts as words: what BM25 counts."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from st_mta.scripts import HANGUL, WITHOUT_BLANKS, character, marks

SCRIPTS = WITHOUT_BLANKS + HANGUL
INVISIBLE = "\u200b-\u200d\u2060\ufeff\u00ad"  # line breaks may come there; a word goes on


def prepared(text: str) -> str:
    """The text with blanks between its words.

    What is written without blanks comes out as single characters and pairs of neighbours (Lucene's CJKAnalyzer with
    single characters, which short queries need). Forms of one character that differ in composition or width alone
    become one. Texts in ASCII stay as they are.
    """
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text)
    return _patterns()[0].sub(_apart, text)


@cache
def word_pattern() -> str:
    """Two word characters and more, marks among them, or a single character of a script without blanks."""
    mark = f"[{marks()}]"
    return rf"\w\w+(?:{mark}\w*)*|\w{mark}[\w{marks()}]*|[{SCRIPTS}]"


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """A run of such scripts, what makes several code points of it one character, and a character."""
    run = f"[{SCRIPTS}][{SCRIPTS}{marks()}{INVISIBLE}]*"
    return re.compile(run), re.compile(f"[{marks()}{INVISIBLE}]"), re.compile(character(SCRIPTS))


def _apart(run: re.Match[str]) -> str:
    """The single characters and pairs of neighbours of a run, between blanks."""
    _, joining, one = _patterns()
    characters = one.findall(run[0]) if joining.search(run[0]) else run[0]
    return " ".join(("", *characters, *map("".join, zip(characters, characters[1:])), ""))
