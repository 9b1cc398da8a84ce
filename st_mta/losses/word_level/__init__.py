"""Distillation of what goes on inside: attention and hidden states (MD2PR)."""

from __future__ import annotations
