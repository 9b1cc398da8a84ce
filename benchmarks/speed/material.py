"""What both sides work on: the same models, the same candidate lists, the same targets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from benchmarks.environment import data_folder
from st_mta.collections import load_collection
from st_mta.mining import load_scored, mine, save_scored
from st_mta.scored import ScoredCandidates
from st_mta.scorers import BiEncoderScorer, model_path
from st_mta.training.students import prune_layers
from st_mta.types import Collection, IntArray

COLLECTION = "openbookqa"
NUM_CANDIDATES = 8
BATCH_SIZE = 32
LEARNING_RATE = 1e-4
SCALE = 20.0
LAYERS = [0, 2, 5]


@dataclass(frozen=True)
class Material:
    """The inputs of all stations.

    Attributes:
        collection: What is mined from and evaluated on.
        queries: (Q,) positions of the training queries.
        scored: Their lists, all of the same length, with the targets of the training.
        retriever: Folder of the bi-encoder that mines and encodes.
        teacher: Folder of the cross-encoder.
        student: Folder of the untrained student.
    """

    collection: Collection
    queries: IntArray
    scored: ScoredCandidates
    retriever: str
    teacher: str
    student: str

    @property
    def texts(self) -> list[str]:
        """What is encoded: the corpus and the training queries."""
        corpus = self.collection.corpus
        return corpus.take(range(len(corpus))) + self.collection.queries.take(self.queries)

    def texts_of(self, scored: ScoredCandidates) -> tuple[list[str], list[list[str]]]:
        """The texts of lists: Q queries, and the N passages of each."""
        lists = scored.candidates
        flat = self.collection.corpus.take(lists.passages)
        rows = [flat[start:end] for start, end in zip(lists.offsets[:-1], lists.offsets[1:])]
        return self.collection.queries.take(lists.queries), rows


def make_material(folder: Path, queries: int) -> None:
    """Writes models, lists and targets.

    The teacher's head is random, since speed does not depend on what a teacher knows. Both sides' students learn the
    retriever's similarities as logits. Lists that fall short of [`NUM_CANDIDATES`] are left out.
    """
    weights, (collection, drawn) = model_path("minilm"), _drawn(queries)
    prune_layers(SentenceTransformer(weights), LAYERS).save_pretrained(str(folder / "student"))
    torch.manual_seed(0)
    CrossEncoder(weights, num_labels=1).save_pretrained(str(folder / "teacher"))
    retriever = BiEncoderScorer(weights, precision="fp32")
    lists = mine(collection, drawn, [retriever], collection.qrels["train"], num_candidates=NUM_CANDIDATES)
    lists = lists.select(np.flatnonzero(lists.lengths == NUM_CANDIDATES))
    labels = SCALE * retriever.score(collection.queries, collection.corpus, lists.pair_queries, lists.passages)
    save_scored(folder, ScoredCandidates(lists, labels[None]))


def load_material(folder: Path, queries: int) -> Material:
    """Reads what [`make_material`] wrote for as many queries."""
    collection, drawn = _drawn(queries)
    models = model_path("minilm"), str(folder / "teacher"), str(folder / "student")
    return Material(collection, drawn, load_scored(folder), *models)


def _drawn(queries: int) -> tuple[Collection, IntArray]:
    collection = load_collection(data_folder() / COLLECTION)
    return collection, collection.queries_of("train")[:queries]
