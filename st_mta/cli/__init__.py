"""The commands: one verb per file, each calls one public function."""

from __future__ import annotations
