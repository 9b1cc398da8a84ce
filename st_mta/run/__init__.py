"""A run on disk: its folder, its journal, and what it depends on."""

from __future__ import annotations
