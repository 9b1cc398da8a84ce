"""Whole undertakings, one public function each: what the commands call."""

from __future__ import annotations
