"""The order of the flow: options, stages, iterations, and the trainer."""

from __future__ import annotations
