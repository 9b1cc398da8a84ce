"""The students of a run on disk: saved whole, and read back as copies of the user's own object."""

from __future__ import annotations

import copy
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from st_mta.atomic import atomic_folder
from st_mta.errors import InputError, loading
from st_mta.scorers import BiEncoderScorer, CrossEncoderScorer
from st_mta.scorers.lengths import limit_length, usable_length
from st_mta.scorers.weights import in_full_precision
from st_mta.stores import Store
from st_mta.training.reranker.prompts import set_prompt
from st_mta.training.students import Student, answers, loaded_again, set_prompts

NOT_AGAIN = (
    "give a student that survives save_pretrained; an adapter is saved without the model beneath it, which has to "
    "stay where it was loaded from; the host does not find it for a Router: merge it there, or train the tower whole"
)
KEPT = 3
"""Students held in memory for scoring: the untrained one, the best and the last."""


class StudentFolders:
    """Saves students and loads them again.

    A student read from disk by the host would have lost what is not written there: which weights are frozen, adapters
    under training, the attention implementation, hooks. Therefore only weights are read, into a copy of the original.

    Args:
        original: The user's student, a bi-encoder or a cross-encoder; it is left alone.
        max_length: Longest text in tokens, a pair's twice that; None for the student's own.
        prompts: The ``prompts`` of the training arguments; they become the student's own.
        precision: Of students as frozen scorers.
    """

    def __init__(
        self,
        original: Any,
        max_length: int | None = None,
        prompts: str | dict[str, str] | None = None,
        precision: str = "auto",
    ) -> None:
        self.original = in_full_precision(copied(original), "The student")
        length = usable_length(self.original, max_length, "the student")
        if self.reranks:
            limit_length(self.original, None if length is None else 2 * length)
            set_prompt(self.original, prompts)
        else:
            limit_length(self.original, length)
            set_prompts(self.original, prompts)
        self.precision = precision
        self.store: Store | None = None
        self._scorers: OrderedDict[Path, Any] = OrderedDict()

    @property
    def reranks(self) -> bool:
        """Whether the student is a cross-encoder, which only re-ranks."""
        return isinstance(self.original, CrossEncoder)

    def save(self, student: SentenceTransformer | CrossEncoder, folder: Path) -> None:
        """Saves a student so that the folder exists only when it is whole."""
        self._scorers.pop(folder, None)
        save_student(student, folder)

    def fresh(self) -> Any:
        """A copy of the original, to train."""
        return copied(self.original)

    def load(self, folder: Path) -> Any:
        """A fresh copy of the original with the weights of a folder, so that no earlier training sticks to it."""
        student = self.fresh()
        student.load_state_dict(self._weights(folder))
        return student

    def scorer(self, folder: Path, name: str) -> Any:
        """A student from disk as a frozen scorer; the same folder is read once."""
        if folder not in self._scorers:
            kind = CrossEncoderScorer if self.reranks else BiEncoderScorer
            self._scorers[folder] = kind(self.load(folder), name=name, store=self.store, precision=self.precision)
            while len(self._scorers) > KEPT:
                self._scorers.popitem(last=False)
        self._scorers.move_to_end(folder)
        scorer = copy.copy(self._scorers[folder])
        scorer.name = name
        return scorer

    def forget(self, fingerprint: str) -> None:
        """Deletes what is stored of a student that is not needed any more: embeddings and searches, or scores."""
        if self.store is not None:
            self.store.delete(fingerprint)

    def refuse_lossy(self, folder: Path) -> None:
        """Raises ``InputError`` where a saved student, loaded by the host alone, gives other embeddings or logits."""
        probe = ["a short text to compare two models by"]
        ours, theirs = answers(self.original, probe), answers(self._from_disk(folder), probe)
        names = (
            ["logits from predict"]
            if self.reranks
            else ["embeddings from encode_query", "embeddings from encode_document"]
        )
        for name, one, other in zip(names, ours, theirs):
            if one.shape != other.shape or not torch.allclose(one, other, rtol=1e-2, atol=1e-3):
                raise self._lossy(f"other {name} of {folder}")

    def _weights(self, folder: Path) -> dict[str, torch.Tensor]:
        own, saved = self.original.state_dict(), self._from_disk(folder).state_dict()
        wrong = sorted(own.keys() ^ saved.keys()) or [name for name in own if own[name].shape != saved[name].shape]
        if wrong:
            raise self._lossy(f"another set of weights in {folder}, the first that differs is {wrong[0]!r}")
        return dict(saved)

    def _from_disk(self, folder: Path) -> Any:
        with loading("a student that the host loads again after saving it", str(folder), NOT_AGAIN):
            return loaded_again(self.original, folder)

    def _lossy(self, got: str) -> InputError:
        return InputError(
            expected="a student that is the same model after save_pretrained and loading it",
            got=got,
            consequence="the published student would not be the one that was trained",
            remedy="give a student that the host saves and loads whole",
        )


def copied(model: Student) -> Student:
    """A deep copy, without the trainer that the card of a model trained before refers to."""
    trainer = getattr(model.model_card_data, "trainer", None)
    return copy.deepcopy(model, {} if trainer is None else {id(trainer): None})


def save_student(student: Any, folder: Path) -> None:
    """Saves a model so that the folder exists only when it is whole; other files in it stay."""
    with atomic_folder(folder) as unfinished:
        student.save_pretrained(str(unfinished))
