"""Losses over token states and attention (MD2PR): the student's tokens follow those of a frozen teacher.

``attention_mse`` and ``hidden_state_mse`` are the losses, ``loss`` what they share. A batch passes ``student_pass``
(the student's forward pass, seen by ``capture``, which records the parts of attention, or its probabilities where a
backbone has ``shown`` nothing else), ``pairs`` (which query with which passage, layer with layer), ``teacher_reader``
and ``stored_reading`` (the teacher's, live or from a store) and ``alignment`` (of tokens).
"""

from __future__ import annotations

from st_mta.losses.word_level.attention_mse import AttentionMSELoss
from st_mta.losses.word_level.capture import capture
from st_mta.losses.word_level.hidden_state_mse import HiddenStateMSELoss
from st_mta.losses.word_level.loss import WordLevelLoss

__all__ = ["AttentionMSELoss", "HiddenStateMSELoss", "WordLevelLoss", "capture"]
