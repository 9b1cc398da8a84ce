"""The stages that are measured, in their order, and how what they take grows with the collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scale.measured import Measured
from benchmarks.scale.models import RandomEncoder, RandomTeacher, static_student
from st_mta.collections import load_collection
from st_mta.mining import load_scored, searched_depth
from st_mta.mining.copies import first_copies
from st_mta.scorers import BM25
from st_mta.stores import Store, text_keys
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.curriculum import training_queries
from st_mta.training.distillation import Distillation
from st_mta.training.trainer import MultiAssistantTrainer
from st_mta.types import Collection

SEARCHED = 2048
"""Queries for which the corpus is searched by embeddings of 384 numbers."""
DEPTH, CANDIDATES, STEPS = 100, 16, 200
BATCH = 16


@dataclass(frozen=True)
class Rehearsal:
    """What is rehearsed.

    Attributes:
        work: A folder for the collection, the store and the run.
        queries: Training queries, dev and test included.
        measured: Where measurements go.
    """

    work: Path
    queries: int
    measured: Measured

    def run(self) -> None:
        """All stages; those measured before are not repeated where their results are on disk."""
        collection: Collection = self.measured.stage("load the collection", self._load)
        store = Store(self.work / "store")
        self.measured.stage("content keys of texts", lambda: self._keys(collection))
        bm25, encoder = BM25(store=store), RandomEncoder(store)
        train = training_queries(collection)
        depth = searched_depth(collection, train, collection.qrels["train"], DEPTH)
        self.measured.stage("BM25: index", lambda: bm25.retrieve(collection.queries, collection.corpus, train[:1], 9))
        self.measured.stage(
            f"BM25: {len(train):,} searches",
            lambda: bm25.retrieve(collection.queries, collection.corpus, train, depth),
            kind="BM25: searches",
        )
        everything = np.arange(len(collection.corpus))
        self.measured.stage(
            "encode the corpus, 384 numbers", lambda: encoder.embed(collection.corpus, "document", everything)
        )
        some = train[:SEARCHED]
        self.measured.stage(
            f"exact search, 384 numbers, {len(some):,} queries",
            lambda: encoder.retrieve(collection.queries, collection.corpus, some, DEPTH),
            kind="exact search",
        )
        self._distil(collection, bm25, encoder, store)

    def _load(self) -> Collection:
        return load_collection(self.work / "collection")

    @staticmethod
    def _keys(collection: Collection) -> None:
        text_keys(collection.corpus)
        first_copies(collection.corpus)

    def _distil(self, collection: Collection, bm25: BM25, encoder: RandomEncoder, store: Store) -> None:
        """A distillation as a user starts it, its stages measured one by one."""
        arguments = MultiAssistantTrainingArguments(
            str(self.work / "run"),
            num_iterations=1,
            queries_per_iteration=self.queries,
            num_candidates=CANDIDATES,
            range_max=DEPTH,
            regression_epochs=0.0,
            regression_weight=0.0,
            per_device_train_batch_size=BATCH,
            num_train_epochs=min(1.0, STEPS * BATCH / self.queries),
            max_eval_queries=500,
            use_cpu=True,
            disable_tqdm=True,
            report_to="none",
        )
        trainer = MultiAssistantTrainer(
            static_student(),
            arguments,
            teacher=RandomTeacher(store),
            assistants=[bm25, encoder],
            collection=collection,
            store=store,
        )
        self.measured.begin()
        with stages_measured(self.measured):
            trainer.train(resume_from_checkpoint=trainer.distillation.folder.begun)
        self.measured.take("report and student", kind="report")
        self._look_up(collection, store)

    def _look_up(self, collection: Collection, store: Store) -> None:
        """What the next run does with the teacher's scores: many small parts become few large ones."""
        lists = load_scored(self.work / "run" / "iteration-00").candidates
        teacher, before = RandomTeacher(store), len(store.scores.parts(RandomTeacher(store).fingerprint))
        self.measured.begin()
        teacher.score(collection.queries, collection.corpus, lists.pair_queries, lists.passages)
        after = len(store.scores.parts(teacher.fingerprint))
        name = f"{len(lists.passages):,} scores looked up, {before} parts made {after}"
        self.measured.take(name, kind="look-up")


@contextmanager
def stages_measured(measured: Measured) -> Iterator[None]:
    """Within it every stage of a distillation is measured, but for those that an earlier process has done.

    Args:
        measured: Where to.
    """
    stage = Distillation.stage

    def counted(run: Distillation, name: str, work: Callable[[], Any], kind: Any) -> Any:
        if name in run.journal:
            return stage(run, name, work, kind)
        return measured.stage(f"run: {name}", lambda: stage(run, name, work, kind))

    Distillation.stage = counted  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Distillation.stage = stage  # type: ignore[method-assign]
