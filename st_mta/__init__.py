"""Distils a teacher and its assistants into one small Sentence Transformers retriever."""

from __future__ import annotations

__version__ = "0.1.0"
