"""Losses over what a model's layers would answer: exits that are students themselves, and layers that follow layers.

``by_layer`` has a model answer after each of some layers; ``exits`` and ``lead`` are the losses, each ``around``
another one on the last layer. ``teacher_scores`` and ``distributions`` are the teacher's side of ``lead`` and its
formulas.
"""

from __future__ import annotations

from st_mta.losses.layers.exits import ExitsLoss
from st_mta.losses.layers.lead import LayerDistillationLoss

__all__ = ["ExitsLoss", "LayerDistillationLoss"]
