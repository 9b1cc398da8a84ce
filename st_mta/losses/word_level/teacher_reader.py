"""The student's batch as input of a teacher, and which of their tokens cover the same text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from st_mta.errors import InputError
from st_mta.losses.word_level.alignment import Alignment, align, positions
from st_mta.losses.word_level.student_pass import Side


@dataclass(frozen=True)
class TeacherInput:
    """What the teacher reads, P rows of T tokens, and for each text of a row the student's tokens against these."""

    features: dict[str, Tensor]
    alignments: list[Alignment]


class TeacherReader:
    """Rewrites tokens of the student for a teacher.

    Equal vocabularies: the teacher reads the student's very tokens between its own special tokens. Different ones:
    the teacher reads the text that the student's tokens spell (lower-cased, where the student does so), and tokens
    align by characters. Prompts of the student are left out; what exceeds the teacher's length is cut from the longer
    text.

    Args:
        teacher: A CrossEncoder or SentenceTransformer.
        student_tokenizer: The student's.

    Raises:
        InputError: If vocabularies differ and a tokenizer knows no character offsets.
    """

    def __init__(self, teacher: Any, student_tokenizer: Any) -> None:
        self.student_tokenizer = student_tokenizer
        self.tokenizer = teacher.tokenizer
        self.max_length = min(teacher.max_seq_length or sys.maxsize, self.tokenizer.model_max_length)
        self.same = student_tokenizer.get_vocab() == self.tokenizer.get_vocab()
        if not self.same and not (student_tokenizer.is_fast and self.tokenizer.is_fast):
            raise InputError(
                expected="two fast tokenizers, since the vocabularies of student and teacher differ",
                got=", ".join(type(each).__name__ for each in (student_tokenizer, self.tokenizer)),
                remedy="use models that have a tokenizer.json",
            )

    def read(self, sides: list[Side], rows: list[Tensor]) -> TeacherInput:
        """Puts the texts of one side, or of queries and documents, together; ``rows`` as for ``Reading``."""
        return self._splice(sides, rows) if self.same else self._retokenise(sides, rows)

    def _splice(self, sides: list[Side], rows: list[Tensor]) -> TeacherInput:
        """The student's tokens between the teacher's special tokens."""
        sample = self.tokenizer(*["a"] * len(sides), return_token_type_ids=True)
        segments = _segments(sample, 0)
        texts = _cut([side.text[row] for side, row in zip(sides, rows)], self.max_length - segments.count(-1))
        parts: list[tuple[Tensor, ...]] = []  # of the row: ids, which are there, token type, segment, span
        device = texts[0].device
        for place, (segment, token, kind) in enumerate(zip(segments, sample["input_ids"], sample["token_type_ids"])):
            if segment >= 0 and segment in segments[:place]:
                continue  # the sample text took several tokens
            there = texts[segment] if segment >= 0 else torch.ones(len(rows[0]), 1, dtype=torch.bool, device=device)
            filled = torch.full(there.shape, 0, device=device)
            ids = sides[segment].input_ids[rows[segment]] if segment >= 0 else filled + token
            parts.append((ids, there, filled + kind, filled + segment, positions(there)))
        ids, there, kinds, segment_of, spans = (torch.cat(part, dim=1) for part in zip(*parts))
        order = there.int().argsort(dim=1, descending=True, stable=True)[:, : int(there.sum(dim=1).max())]
        mask, kinds, segment_of = (part.gather(1, order) for part in (there, kinds, segment_of))
        ids = ids.gather(1, order).where(mask, self.tokenizer.pad_token_id)
        spans = spans.gather(1, order[..., None].expand(-1, -1, 2))
        of_sides = [positions(side.text)[row] for side, row in zip(sides, rows)]
        features = self._features(ids, mask.long(), kinds * mask)
        return TeacherInput(features, _align(of_sides, spans, segment_of))  # padding has empty spans

    def _retokenise(self, sides: list[Side], rows: list[Tensor]) -> TeacherInput:
        """The student's text in the teacher's tokens."""
        texts, of_sides = zip(*(self._spell(side.input_ids[row], side.text[row]) for side, row in zip(sides, rows)))
        encoded = self.tokenizer(
            *texts,
            padding=True,
            truncation="longest_first",
            max_length=self.max_length,
            return_offsets_mapping=True,
            return_token_type_ids=True,
            return_tensors="pt",
        ).to(sides[0].input_ids.device)
        segment_of = torch.tensor([_segments(encoded, row) for row in range(len(texts[0]))])
        alignments = _align(of_sides, encoded["offset_mapping"], segment_of.to(encoded["input_ids"].device))
        features = self._features(encoded["input_ids"], encoded["attention_mask"], encoded["token_type_ids"])
        return TeacherInput(features, alignments)

    def _spell(self, input_ids: Tensor, text: Tensor) -> tuple[list[str], Tensor]:
        """The text of each row (R, L) of tokens, and (R, L, 2) the characters of it that each token covers.

        Tokens that come out differently when the text is read again, and all after them, cover nothing.
        """
        tokens = [ids[there] for ids, there in zip(input_ids.cpu(), text.cpu())]
        texts = self.student_tokenizer.batch_decode(tokens, clean_up_tokenization_spaces=False)
        again = self.student_tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
        lengths = [min(len(before), len(after)) for before, after in zip(tokens, again["input_ids"])]
        spans = torch.zeros(*text.shape, 2, dtype=torch.long)
        found = pad_sequence(
            [
                torch.tensor(offsets[:length], dtype=torch.long).reshape(-1, 2)
                * (before[:length] == torch.tensor(after[:length])).long().cumprod(0)[:, None]
                for before, after, offsets, length in zip(tokens, again["input_ids"], again["offset_mapping"], lengths)
            ],
            batch_first=True,
        )
        # The k-th token of the text, wherever padding, special tokens and prompt put it.
        place = text.cpu().int().argsort(dim=1, descending=True, stable=True)[:, : found.shape[1]]
        spans.scatter_(1, place[..., None].expand(-1, -1, 2), found)
        return texts, spans.to(text.device)

    def _features(self, ids: Tensor, mask: Tensor, kinds: Tensor) -> dict[str, Tensor]:
        features = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self.tokenizer.model_input_names:
            features["token_type_ids"] = kinds
        return features


def _segments(encoded: Any, row: int) -> list[int]:
    """Which text each token of a row is from; -1 for special tokens and padding."""
    return [-1 if segment is None else segment for segment in encoded.sequence_ids(row)]


def _align(of_sides: Sequence[Tensor], spans: Tensor, segment_of: Tensor) -> list[Alignment]:
    """Each side's spans (P, I, 2) against the teacher's (P, T, 2) of the same segment (P, T)."""
    return [align(mine, spans * (segment_of == segment)[..., None]) for segment, mine in enumerate(of_sides)]


def _cut(texts: list[Tensor], budget: int) -> list[Tensor]:
    """Marks as many tokens as fit into ``budget``, cutting the longer of two texts first."""
    lengths = [text.sum(dim=1) for text in texts]
    if len(texts) == 1:
        limits = [lengths[0].clamp(max=budget)]
    else:
        # The first may exceed half the budget only by what the second leaves.
        first = torch.minimum(lengths[0], (budget - lengths[1]).clamp(min=budget // 2))
        limits = [first, torch.minimum(lengths[1], budget - first)]
    return [text & (text.cumsum(dim=1) <= limit[:, None]) for text, limit in zip(texts, limits)]
