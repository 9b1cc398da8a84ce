"""Assistants: how teacher and assistants are calibrated, fused and selected."""

from __future__ import annotations
