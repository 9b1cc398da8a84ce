"""Evidence: one folder per published table, with the command that makes it."""

from __future__ import annotations
