"""A rehearsal of the whole flow at a tenth of MS MARCO: seconds, disk and memory of every stage, on made-up texts."""

from __future__ import annotations

SEARCHED = 2048
"""Queries for which the corpus is searched by embeddings of 384 numbers."""
RUN_QUERIES = 5000
"""Queries that the distillation mines with its student; lists of all of them are made and scored before."""
