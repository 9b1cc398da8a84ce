"""The arms: which levels the student learns from, everything else being equal.

All are one loss, `MultiLevelDistillationLoss`, with other weights and parts, in the same iterations of st_mta, from
the same warmed-up student, on the same queries and, in the first iteration, the same lists. The word level reads each
query with its positive in the cross-encoder that was tuned for the teacher, or every text in the bi-encoder that was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import nn

from benchmarks.assistants.arms import SCALE, Arm
from benchmarks.assistants.material import DEVICE, Material
from st_mta.assistants.targets import AssistantTargets
from st_mta.filters import DynamicFilter
from st_mta.losses import (
    AttentionMSELoss,
    FilteredContrastiveLoss,
    HiddenStateMSELoss,
    ListwiseKLLoss,
    MultiLevelDistillationLoss,
)
from st_mta.losses.word_level import WordLevelLoss

BASELINE = "sentence"
CONTRASTIVE_WEIGHT = 0.1
"""Beside a sentence level of weight 1, as st_mta's default has it."""
WEIGHTS = {"interaction": 0.1, "self": 0.1, "relation": 0.1, "hidden": 0.1, "hidden_bi_encoder": 0.1}
"""Of the word level: the better of 0.1 and 1 on development queries (`python -m benchmarks.multilevel.weights`)."""
FROM_CROSS_ENCODER = {name: WEIGHTS[name] for name in ("interaction", "self", "relation", "hidden")}
MARGINS = (-0.1, 0.05)
"""Relative margins of the dynamic filter in the two iterations: from lenient to strict."""
OFF = DynamicFilter(absolute_margin=-1e9)
STATIC = DynamicFilter()
DYNAMIC = DynamicFilter(relative_margin=MARGINS)


@dataclass(frozen=True)
class Levels:
    """What an arm learns from.

    Attributes:
        what: In words, for the table.
        sentence: Weight of the sentence level.
        word: Weights of word-level losses by name.
        filter: Of the contrastive loss.
        assistants: Whether the sentence level has the assistants, or the teacher alone.
        arguments: Training arguments that differ from the default.
    """

    what: str
    sentence: float = 1.0
    word: Mapping[str, float] = field(default_factory=dict)
    filter: DynamicFilter = OFF
    assistants: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)


def _only(name: str) -> dict[str, float]:
    return {name: WEIGHTS[name]}


LEVELS: dict[str, Levels] = {
    "contrastive": Levels("contrastive", sentence=0.0),
    BASELINE: Levels("contrastive + sentence"),
    "interaction": Levels("+ attention, interaction", word=_only("interaction")),
    "self": Levels("+ attention, self", word=_only("self")),
    "relation": Levels("+ attention, relation", word=_only("relation")),
    "hidden": Levels("+ hidden states", word=_only("hidden")),
    "hidden_bi_encoder": Levels("+ hidden states of the bi-encoder", word=_only("hidden_bi_encoder")),
    "every_level": Levels("+ all attention and hidden states", word=FROM_CROSS_ENCODER),
    "static_filter": Levels("contrastive, filtered + sentence", filter=STATIC),
    "dynamic_filter": Levels("contrastive, dynamically filtered + sentence", filter=DYNAMIC),
    "filtered_lists": Levels(
        "contrastive + sentence, lists dynamically filtered",
        arguments={"filter_false_negatives": "relative", "filter_margins": list(MARGINS)},
    ),
    "everything": Levels(
        "all levels, dynamic filter, assistants", word=FROM_CROSS_ENCODER, filter=DYNAMIC, assistants=True
    ),
}
NAMES = tuple(LEVELS)

Word = Callable[["Readers", SentenceTransformer], WordLevelLoss]
WORD: dict[str, Word] = {
    "interaction": lambda readers, student: AttentionMSELoss(
        student, teacher=readers.cross_encoder, variant="interaction", distance="kl"
    ),
    "self": lambda readers, student: AttentionMSELoss(
        student, teacher=readers.cross_encoder, variant="self", distance="kl"
    ),
    "relation": lambda readers, student: AttentionMSELoss(
        student, teacher=readers.cross_encoder, variant="relation", distance="kl"
    ),
    "hidden": lambda readers, student: HiddenStateMSELoss(student, teacher=readers.cross_encoder),
    "hidden_bi_encoder": lambda readers, student: HiddenStateMSELoss(student, teacher=readers.bi_encoder),
}


class Readers:
    """The teachers of the word level on one collection, loaded when they are first needed."""

    def __init__(self, material: Material) -> None:
        self.material = material

    @cached_property
    def cross_encoder(self) -> CrossEncoder:
        """The tuned cross-encoder; the teacher itself may be a fusion with it, or another scorer."""
        return CrossEncoder(str(self.material.folder / "teacher" / "cross-encoder"), device=DEVICE)

    @cached_property
    def bi_encoder(self) -> SentenceTransformer:
        """The teacher's bi-encoder."""
        return SentenceTransformer(self.material.strong.model, device=DEVICE)


def arms_of(material: Material) -> dict[str, Arm]:
    """The arms on one collection."""
    readers = Readers(material)
    return {name: Arm(levels.what, loss_of(levels, readers), levels.arguments) for name, levels in LEVELS.items()}


def loss_of(levels: Levels, readers: Readers) -> Callable[[SentenceTransformer, AssistantTargets], nn.Module]:
    """Makes the loss of these levels."""

    def make(student: SentenceTransformer, targets: AssistantTargets) -> nn.Module:
        alpha: dict[str, Any] = {} if levels.assistants else {"alpha": 1.0}
        return MultiLevelDistillationLoss(
            student,
            contrastive=FilteredContrastiveLoss(student, filter=levels.filter, scale=SCALE),
            sentence=ListwiseKLLoss(student, targets=targets, scale=targets.student_scale, **alpha),
            word={name: WORD[name](readers, student) for name in levels.word},
            contrastive_weight=CONTRASTIVE_WEIGHT if levels.sentence else 1.0,
            sentence_weight=levels.sentence,
            word_weight=levels.word,
            return_components=True,
        )

    return make
