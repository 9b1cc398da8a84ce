"""Exact search: every passage compared, in blocks, by several backends."""

from __future__ import annotations
