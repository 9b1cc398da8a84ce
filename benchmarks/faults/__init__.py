"""Drills: faults of every kind, caused on purpose."""

from __future__ import annotations
