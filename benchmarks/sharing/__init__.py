"""Batches of queries that share passages beside shuffled ones: quality and time at equal steps."""

from __future__ import annotations
