"""Losses over what a model's layers would answer: exits that are students themselves, and layers that follow layers.

``by_layer`` has a model answer after each of some layers; ``exits`` and ``distributions`` are the losses.
"""

from __future__ import annotations

from st_mta.losses.layers.exits import ExitsLoss

__all__ = ["ExitsLoss"]
