"""Which source this is: what another one measured or made does not count."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("st_mta", "benchmarks", "tests")


@cache
def source_digest() -> str:
    """Of all modules; where there is no repository, no commit tells one source from another."""
    digest = hashlib.sha256()
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
