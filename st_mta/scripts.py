"""Scripts that are written without blanks between words, and the characters of them that readers see."""

from __future__ import annotations

import unicodedata
from functools import cache
from itertools import groupby

WITHOUT_BLANKS = (
    "\u3005-\u3007\u3021-\u3029\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3105-\u312f\u31a0-\u31bf"  # Bopomofo
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ebd\u0ec0-\u0ece\u0edc-\u0edf"  # Thai, Lao
    "\u0f40-\u0f6c\u0f71-\u0f84\u0f86-\u0f97\u0f99-\u0fbc"  # Tibetan
    "\u1000-\u103f\u1050-\u108f\u109a-\u109d\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa76\uaa7a-\uaa7f"  # Burmese
    "\u1780-\u17d3\u17d7\u17dc\u17dd"  # Khmer
    "\u1950-\u1974\u1980-\u19c9\u1a20-\u1a7c\uaa80-\uaadd\ua980-\ua9c0\u1b00-\u1b4c"  # Tai, Javanese, Balinese
)
"""Letters and marks, as the inside of a character class."""
HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7fb"
"""Korean has blanks, but not between a word and its particles."""
JOINERS = "\u17d2\u1039\u1a60"
"""After these the next letter stands below the one before: both are one character to a reader."""


@cache
def marks() -> str:
    """All combining marks of living scripts, as the inside of a character class; which count as no word characters."""
    found = [code for code in range(0x300, 0x10000) if unicodedata.category(chr(code))[0] == "M"]
    runs = [list(run) for _, run in groupby(enumerate(found), lambda pair: pair[1] - pair[0])]
    return "".join(f"{chr(run[0][1])}-{chr(run[-1][1])}" for run in runs)


def character(scripts: str = WITHOUT_BLANKS) -> str:
    """A pattern of one character as readers see it: a letter with its marks and what is written below it."""
    return f"[{scripts}](?:[{marks()}]|(?<=[{JOINERS}])[{scripts}])*"
