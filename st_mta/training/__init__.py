"""The order of the flow: stations, iterations, the trainer and the recipes built on it."""

from __future__ import annotations
