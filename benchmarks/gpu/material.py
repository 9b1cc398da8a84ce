"""What all stages work on: the packed models and collections, or toys of two layers."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.environment import data_folder
from benchmarks.faults.material import write_collection
from benchmarks.gpu.source import source_digest
from benchmarks.speed.material import NUM_CANDIDATES, Material, load_material, make_material
from st_mta.collections import load_collection
from st_mta.mining import mine
from st_mta.scored import ScoredCandidates
from st_mta.scorers import BiEncoderScorer
from st_mta.types import Collection
from tests.tiny import saved, tiny_cross_encoder, tiny_sentence_transformer

QUERIES = 1024
MARK = "whole"
LONG = "squad-sent"
SENTENCES = 4
"""Of a collection of sentences, put together for a passage of ordinary length."""


@dataclass(frozen=True)
class Models:
    """What stages work on.

    Attributes:
        speed: Collection, lists and models, as for benchmarks/speed.
        passages: Texts of ordinary length, to encode and to score.
    """

    speed: Material
    passages: list[str]

    @property
    def collection(self) -> Collection:
        """With a train and a test split."""
        return self.speed.collection

    def scored(self, assistants: int) -> ScoredCandidates:
        """The lists with the teacher's scores, and so many assistants', which are the teacher's with noise."""
        lists, teacher = self.speed.scored.candidates, self.speed.scored.scores[0]
        noise = np.random.default_rng(0).normal(scale=1 + teacher.std(), size=(assistants, len(teacher)))
        return ScoredCandidates(lists, np.vstack([teacher, teacher + noise]).astype(np.float32))


def prepared(folder: Path, dry: bool, device: torch.device) -> Models:
    """Reads the material from a folder, and makes it there before where it is not whole."""
    if dry:
        return toys(folder)
    if not _is_whole(folder):
        shutil.rmtree(folder, ignore_errors=True)
        make_material(folder, QUERIES)
        _mark(folder)
    return Models(load_material(folder, QUERIES), _passages())


def _passages() -> list[str]:
    corpus = load_collection(data_folder() / LONG).corpus
    sentences = corpus.take(range(len(corpus)))
    return [" ".join(sentences[start : start + SENTENCES]) for start in range(0, len(sentences), SENTENCES)]


def toys(folder: Path) -> Models:
    """Models of two layers and a collection of 60 passages, in a folder."""
    bi_encoder = tiny_sentence_transformer()
    if not _is_whole(folder):
        shutil.rmtree(folder, ignore_errors=True)
        saved(bi_encoder, folder / "retriever")
        saved(tiny_cross_encoder(), folder / "teacher")
        saved(tiny_sentence_transformer(1), folder / "student")
        write_collection(folder / "collection")
        _mark(folder)
    collection = load_collection(folder / "collection")
    models = (str(folder / name) for name in ("retriever", "teacher", "student"))
    queries = collection.queries_of("train")
    scorer = BiEncoderScorer(bi_encoder)
    lists = mine(collection, queries, [scorer], collection.qrels["train"], num_candidates=NUM_CANDIDATES)
    scores = np.random.default_rng(0).normal(size=(1, len(lists.passages))).astype(np.float32)
    speed = Material(collection, queries, ScoredCandidates(lists, scores), *models)
    return Models(speed, collection.corpus.take(range(len(collection.corpus))))


def _is_whole(folder: Path) -> bool:
    """Whether the material was made to its end, by this source."""
    mark = folder / MARK
    return mark.exists() and mark.read_text() == source_digest()


def _mark(folder: Path) -> None:
    (folder / MARK).write_text(source_digest())
