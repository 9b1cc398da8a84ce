"""The stages that are measured, in their order, and how what they take grows with the collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scale import RUN_QUERIES, SEARCHED
from benchmarks.scale.measured import Measured
from benchmarks.scale.models import RandomEncoder, RandomRetriever, RandomTeacher, static_student
from st_mta.assistants.calibration import fit_temperatures
from st_mta.collections import load_collection
from st_mta.mining import in_corpus_order, load_scored, mine, save_scored, searched_depth
from st_mta.mining.copies import first_copies
from st_mta.scored import ScoredCandidates, score_all
from st_mta.scorers import BM25
from st_mta.stores import Store, text_keys
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.collator import listwise_dataset
from st_mta.training.curriculum import training_queries
from st_mta.training.distillation import Distillation
from st_mta.training.stages.score import CALIBRATION_QUERIES
from st_mta.training.trainer import MultiAssistantTrainer
from st_mta.types import Collection, IntArray, Scorer

DEPTH, CANDIDATES, STEPS, BATCH = 100, 16, 200, 16


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
        self._lists(collection, train, [RandomTeacher(store), bm25, encoder])
        self._look_up(collection, store)
        self._distil(collection, [RandomTeacher(store), bm25, encoder], store)

    def _load(self) -> Collection:
        return load_collection(self.work / "collection")

    @staticmethod
    def _keys(collection: Collection) -> None:
        text_keys(collection.corpus)
        first_copies(collection.corpus)

    def _lists(self, collection: Collection, train: IntArray, scorers: list[Scorer]) -> None:
        """Lists of all training queries, scored; rankings at random stand for the student's."""
        retrievers, positives = [RandomRetriever(), scorers[1]], collection.qrels["train"]
        mined = self.measured.stage(
            "mine: BM25 and rankings at random",
            lambda: in_corpus_order(
                mine(collection, train, retrievers, positives, num_candidates=CANDIDATES, depth=DEPTH)
            ),
        )
        scored = self.measured.stage(
            f"score {len(mined.passages):,} pairs by three scorers",
            lambda: score_all(collection, mined, scorers),
            kind="score",
        )
        self.measured.stage("temperatures, files and data set", lambda: self._targets(collection, scored))

    def _targets(self, collection: Collection, scored: ScoredCandidates) -> None:
        """From scores to what a training reads."""
        lists = scored.known().filled().with_pseudo_positives()
        sample = lists.select(np.unique(np.linspace(0, len(lists) - 1, CALIBRATION_QUERIES).astype(np.int64)))
        scores, mask, _ = sample.dense()
        arguments = MultiAssistantTrainingArguments(str(self.work / "run"), use_cpu=True)
        fit_temperatures(scores, mask, arguments.calibration, arguments.target_entropy, list(lists.scorers))
        (self.work / "lists").mkdir(exist_ok=True)
        save_scored(self.work / "lists", lists)
        listwise_dataset(load_scored(self.work / "lists"), collection.queries)

    def _look_up(self, collection: Collection, store: Store) -> None:
        """What the next run does with the teacher's scores: many small parts become few large ones."""
        lists = load_scored(self.work / "lists").candidates
        teacher = RandomTeacher(store)
        before = len(store.scores.parts(teacher.fingerprint))
        self.measured.begin()
        teacher.score(collection.queries, collection.corpus, lists.pair_queries, lists.passages)
        after = len(store.scores.parts(teacher.fingerprint))
        name = f"{len(lists.passages):,} scores looked up, {before} parts made {after}"
        self.measured.take(name, kind="look-up")

    def _distil(self, collection: Collection, scorers: list[Scorer], store: Store) -> None:
        """A distillation as a user starts it, its stages measured one by one."""
        queries = min(RUN_QUERIES, self.queries)
        arguments = MultiAssistantTrainingArguments(
            str(self.work / "run"),
            num_iterations=1,
            queries_per_iteration=queries,
            num_candidates=CANDIDATES,
            range_max=DEPTH,
            regression_epochs=0.0,
            regression_weight=0.0,
            per_device_train_batch_size=BATCH,
            num_train_epochs=min(1.0, STEPS * BATCH / queries),
            max_eval_queries=500,
            use_cpu=True,
            disable_tqdm=True,
            report_to="none",
        )
        teacher, *assistants = scorers
        trainer = MultiAssistantTrainer(
            static_student(), arguments, teacher=teacher, assistants=assistants, collection=collection, store=store
        )
        self.measured.begin()
        with stages_measured(self.measured):
            trainer.train(resume_from_checkpoint=trainer.distillation.folder.begun)
        self.measured.take("report and student", kind="report")


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
