"""The same numbers as the packages beir, pytrec_eval and mteb."""

from __future__ import annotations
