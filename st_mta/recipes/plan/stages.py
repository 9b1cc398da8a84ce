"""The stages of a run as work that is yet to be done, in the order of `st_mta.training.distillation`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np

from st_mta.losses.scope import IN_BATCH
from st_mta.mining import searched_depth
from st_mta.recipes.plan import sizes
from st_mta.recipes.plan.foreseen import Foreseen
from st_mta.recipes.plan.readers import Reader, readers
from st_mta.recipes.plan.steps import Training, saved_bytes, steps_of, training_on_embeddings, training_on_lists
from st_mta.recipes.plan.work import STEPS
from st_mta.scorers import BiEncoderScorer, CrossEncoderScorer, EmbeddingScorer
from st_mta.training.curriculum import draw_queries, training_queries
from st_mta.training.distillation import Distillation
from st_mta.training.judgements import unjudged
from st_mta.training.regression import regression_positions
from st_mta.training.regression_target import FITTED_FROM
from st_mta.training.regression_weights import usable_bi_encoders
from st_mta.training.run_state import BEFORE, REGRESSION_TARGET, STUDENT, WARM_UP
from st_mta.training.serving import FORMS
from st_mta.training.student_folders import copied
from st_mta.training.students import DOCUMENTS
from st_mta.training.throughput import ROUNDS, SECONDS_PER_ROUND
from st_mta.types import IntArray, Scorer


class Stages:
    """Walks through a run that was prepared.

    Args:
        run: Prepared; nothing of it is changed.
        foreseen: Keeps account.
    """

    def __init__(self, run: Distillation, foreseen: Foreseen) -> None:
        self.run, self.foreseen = run, foreseen
        self.arguments, self.collection = run.arguments, run.collection
        self.student_bytes = saved_bytes(run.students.original)

    def all(self) -> None:
        """Every stage, the iterations as if none of them were the last by patience."""
        self.before()
        self.warm_up()
        for iteration in range(self.arguments.num_iterations):
            self.iteration(iteration)
        self.after()

    @cached_property
    def _student(self) -> Any:
        kind = CrossEncoderScorer if self.run.reranks else BiEncoderScorer
        return kind(copied(self.run.students.original), name=STUDENT, precision=self.run.students.precision)

    def student(self, version: str) -> Reader:
        """The student after a stage, of which nothing is stored."""
        return Reader(self._student, self.collection.queries, self.collection.corpus, f"{STUDENT} {version}", False)

    @cached_property
    def every(self) -> IntArray:
        """Positions of all passages."""
        return np.arange(len(self.collection.corpus), dtype=np.int64)

    def queries_of(self, split: str) -> IntArray:
        """Positions of the judged queries of a split, and of those that the teacher is yet to judge."""
        return self.collection.queries_of(split)

    def before(self) -> None:
        """The student is kept, development queries judged where they have to be, and everybody measured."""
        with self.foreseen.stage(BEFORE):
            self.foreseen.add("the student as it came", written=self.student_bytes)
        if len(queries := unjudged(self.collection, "dev")):
            with self.foreseen.stage("judge", at_most=True):
                self._judge(queries)
        with self.foreseen.stage("quality"):
            self._measure([*self.run.pool.scorers, self.student(BEFORE)], "dev")
        with self.foreseen.stage(REGRESSION_TARGET, at_most=True):
            self._regression_target()

    def _judge(self, queries: IntArray) -> None:
        teacher, depth = self.run.pool.teacher, self.arguments.eval_depth
        searching: list[Scorer | Reader] = [teacher]
        if not teacher.can_retrieve:
            searching = [*self._searching(self.student(BEFORE)), *self._retrievers()]
        for scorer in searching:
            self.foreseen.search(scorer, queries, max(2, depth))
        self.foreseen.score(teacher, queries, min(max(2, depth), len(self.every)))

    def _searching(self, student: Reader) -> list[Reader]:
        """The student, unless it only re-ranks."""
        return [] if self.run.reranks else [student]

    def _retrievers(self) -> list[Scorer]:
        """Who bring candidates beside the student: assistants that search, and a teacher that mines."""
        searching = [scorer for scorer in self.run.pool.scorers if scorer.can_retrieve]
        teacher = self.run.pool.teacher
        return searching if teacher.mines else [scorer for scorer in searching if scorer is not teacher]

    def _measure(self, scorers: list[Scorer | Reader], split: str) -> None:
        """Those that search do so, the others re-rank what one of them finds: few passages, where it goes by words."""
        queries, depth = self.queries_of(split), self.arguments.eval_depth
        by_words = any(one.can_retrieve and not isinstance(one, EmbeddingScorer) for one in self.run.pool.scorers)
        for scorer in scorers:
            if (scorer.scorer if isinstance(scorer, Reader) else scorer).can_retrieve:
                self.foreseen.search(scorer, queries, depth)
                continue
            with self.foreseen.bounded(by_words):
                self.foreseen.score(scorer, queries, min(depth, len(self.every)))

    @cached_property
    def regressed_to(self) -> list[Scorer]:
        """The bi-encoders that the student may be regressed to: one of them, or all where they are taken together."""
        width, kind = getattr(self._student, "dimension", None), self.arguments.regression_map
        wanted = self.arguments.regression_epochs or self.run.settled.regression_weight
        usable: list[Scorer] = []
        if wanted and not self.run.reranks:
            usable += usable_bi_encoders(self.run.pool.scorers, width, kind)
        return usable[:1] if self.arguments.regression_to == "best" else usable

    def _regression_target(self) -> None:
        sample = np.sort(np.unique(training_queries(self.collection)))[:FITTED_FROM]
        if self.regressed_to and self.arguments.regression_map != "none":
            for reader in (*self._regressing(), self.student(BEFORE)):
                self.foreseen.embed(reader, "query", sample)

    def _regressing(self) -> list[Reader]:
        return [reader for scorer in self.regressed_to for reader in readers(scorer, self.collection)]

    def warm_up(self) -> None:
        """The student is trained on the embeddings of a bi-encoder, and measured."""
        if not self.regressed_to or not self.arguments.regression_epochs:
            return
        with self.foreseen.stage(WARM_UP):
            self._embed_what_is_regressed_to()
            self._train_on_embeddings()
            self._measure([self.student(WARM_UP)], "dev")

    def _embed_what_is_regressed_to(self) -> None:
        self._embed_everything(self._regressing())

    def _embed_everything(self, found: Iterable[Reader]) -> None:
        for reader in found:
            self.foreseen.embed(reader, "query", np.arange(len(self.collection.queries)))
            self.foreseen.embed(reader, "document", self.every)

    def _train_on_embeddings(self) -> None:
        collection, unlabelled = self.collection, self.run.unlabelled
        passages = len(collection.corpus) + (0 if unlabelled is None else len(unlabelled))
        drawn = regression_positions(collection, self.arguments)
        if unlabelled is not None:
            share = min(1.0, self.arguments.regression_max_texts / (passages + len(drawn["query"])))
            drawn[DOCUMENTS] = np.arange(int(share * passages))
        batch, epochs = self.arguments.regression_batch_size, self.arguments.regression_epochs
        per_epoch = sum(steps_of(len(column), batch, 1, 1) for column in drawn.values())
        steps = int(np.ceil(per_epoch * epochs))
        student, texts = self.student(BEFORE), sum(map(len, drawn.values()))
        self.foreseen.add(
            "steps on embeddings",
            unit=STEPS,
            count=steps,
            tokens=int(texts * epochs * self.foreseen.rates.tokens(student, "document")),
            read=int(texts * epochs * (self._text_bytes + 4 * self._student.dimension)),
            written=self.student_bytes,
            seconds=training_on_embeddings(self.run).seconds(steps) if steps and self.foreseen.counts else 0.0,
        )

    @cached_property
    def _text_bytes(self) -> float:
        return sizes.bytes_of(self.collection.corpus) / max(1, len(self.every))

    def iteration(self, iteration: int) -> None:
        """Mine, score, train, evaluate; later iterations know at most what they will have to compute."""
        name, later = self.run.folder.iteration(iteration).name, iteration > 0
        start = self.student(self.run.folder.iteration(iteration - 1).name if later else self._begun_with)
        sample, hard = self._drawn(iteration)
        drawn = np.union1d(sample, hard)
        with self.foreseen.stage(f"{name}/mine", at_most=later):
            self._mine(iteration, start, drawn)
        with self.foreseen.stage(f"{name}/score", at_most=True):
            self._score(drawn)
        with self.foreseen.stage(f"{name}/train", at_most=True):
            self._train(name, len(sample) + len(hard))
        with self.foreseen.stage(f"{name}/evaluate"):
            self._measure([self.student(name)], "dev")
            self.foreseen.add("run file", written=self._lines("dev"))

    @property
    def _begun_with(self) -> str:
        return WARM_UP if self.regressed_to and self.arguments.regression_epochs else BEFORE

    def _drawn(self, iteration: int) -> tuple[IntArray, IntArray]:
        """Queries of an iteration; of later ones as if the student had got every query wrong."""
        available = training_queries(self.collection)
        harder = iteration > 0 and self.arguments.curriculum != "none"
        return draw_queries(available, np.zeros_like(available) if harder else None, self.arguments, iteration)

    @cached_property
    def per_query(self) -> int:
        """Passages in a list at most."""
        return min(self.run.settled.num_candidates, len(self.every))

    def _mine(self, iteration: int, start: Reader, drawn: IntArray) -> None:
        available = training_queries(self.collection)
        positives = self.collection.qrels.get("train", {})
        depth = searched_depth(self.collection, drawn, positives, self.arguments.range_max)
        for student in self._searching(start):
            if iteration:
                self.foreseen.embed(student, "query", available)
                if self.arguments.curriculum != "none":
                    self.foreseen.search(student, available, max(depth, self.arguments.eval_depth + 1))
            self.foreseen.search(student, drawn, depth)
        for scorer in self._retrievers():
            self.foreseen.search(scorer, drawn, depth)
        self.foreseen.add("lists", written=len(drawn) * self.per_query * sizes.PER_PAIR)

    def _score(self, drawn: IntArray) -> None:
        for scorer in self.run.pool.scorers:
            self.foreseen.score(scorer, drawn, self.per_query)
        if self.arguments.fusion == "weighted":
            for scorer in self.run.pool.assistants:
                self.foreseen.score(scorer, self.queries_of("dev"), self.per_query)
        per_pair = sizes.PER_PAIR + 4 * len(self.run.pool.scorers)
        self.foreseen.add("scored lists", written=len(drawn) * self.per_query * per_pair)

    def _train(self, name: str, rows: int) -> None:
        if self.run.settled.regression_weight:
            self._embed_what_is_regressed_to()
        if self.arguments.candidates == IN_BATCH and isinstance(self.run.pool.teacher, EmbeddingScorer):
            self._embed_everything(readers(self.run.pool.teacher, self.collection))
        arguments = self.arguments
        accumulation = arguments.gradient_accumulation_steps
        steps = steps_of(
            rows, arguments.per_device_train_batch_size, accumulation, arguments.num_train_epochs, arguments.max_steps
        )
        lists = min(rows * arguments.num_train_epochs, steps * accumulation * arguments.per_device_train_batch_size)
        student, rates = self.student(name), self.foreseen.rates
        tokens = rates.tokens(student, "query") + self.per_query * rates.tokens(student, "document")
        regressed = 4 * self._student.dimension if self.run.settled.regression_weight else 0
        self.foreseen.add(
            f"steps on lists of {self.per_query}",
            unit=STEPS,
            count=steps,
            tokens=int(lists * tokens),
            read=int(lists * (1 + self.per_query) * (self._text_bytes + regressed)),
            written=self.student_bytes,
            seconds=self._training.seconds(steps * accumulation) if self.foreseen.counts else 0.0,
        )

    @cached_property
    def _training(self) -> Training:
        return training_on_lists(self.run, self.per_query)

    def _lines(self, split: str) -> int:
        return len(self.queries_of(split)) * min(self.arguments.eval_depth, len(self.every)) * sizes.PER_LINE

    def after(self) -> None:
        """Everybody on the test split, their speed, and the student in other forms of serving."""
        split = "test" if self.collection.qrels.get("test") else "dev"
        last = self.run.folder.iteration(self.arguments.num_iterations - 1).name
        everybody: list[Scorer | Reader] = [*self.run.pool.scorers, self.student(BEFORE), self.student(last)]
        with self.foreseen.stage("test"):
            self._measure(everybody, split)
            self.foreseen.add("run files", written=len(everybody) * self._lines(split))
        with self.foreseen.stage("throughput"):
            answering = sum(isinstance(one, Reader) or (one.can_retrieve and one.timed) for one in everybody)
            self.foreseen.add("speed of answering", seconds=answering * ROUNDS * SECONDS_PER_ROUND)
        with self.foreseen.stage("serving", at_most=True):
            self._serve(len(self.queries_of(split)))
        with self.foreseen.stage("report"):
            self.foreseen.add("the student, pages and plots", written=self.student_bytes + sizes.OF_PAGES)

    def _serve(self, queries: int) -> None:
        if self.run.reranks:
            return
        width = self._student.dimension
        others = [one for one in self.run.pool.scorers if isinstance(one, EmbeddingScorer) and one.dimension == width]
        widths = [width // divisor for divisor, _ in FORMS if width >= 8 * divisor] + 2 * [width for _ in others]
        compared = queries * len(self.every)
        seconds = sum(self.foreseen.rates.comparing(one, len(self.every), self._student) * compared for one in widths)
        self.foreseen.add(
            f"searches in {len(widths)} forms of an index",
            read=len(widths) * 4 * width * len(self.every),
            seconds=seconds,
        )
