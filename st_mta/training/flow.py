"""The flow of a run: every station once, in order, each recorded in the journal when it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.evaluation import BaseEvaluator
from torch import nn
from transformers import TrainerCallback

from st_mta.assistants.pool import AssistantPool
from st_mta.assistants.targets import AssistantTargets
from st_mta.evaluation import CollectionEvaluator, evaluate_scorer, write_run
from st_mta.mining import load_candidates, positive_ranks, save_candidates
from st_mta.scorers import BiEncoderScorer
from st_mta.stores import Store
from st_mta.training import stations
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.checkpoints import train_with_checkpoints
from st_mta.training.collator import DOCUMENTS, FlatDocumentsCollator
from st_mta.training.dataset import listwise_dataset
from st_mta.training.files import RunFolder, file_name
from st_mta.training.journal import Journal, Result
from st_mta.training.judgements import judge_by_teacher, read_judgements, unjudged, write_judgements
from st_mta.training.lists import rows_of
from st_mta.training.serving import measure_serving
from st_mta.training.throughput import queries_per_second
from st_mta.training.warm_up import column_prompts, regress_embeddings
from st_mta.types import Collection, IntArray, Qrels, Retrieved, Scorer

LossFactory = Callable[[SentenceTransformer, AssistantTargets], nn.Module]
MAIN_MEASURE = "ndcg@10"
BEFORE, STUDENT = "student-before", "student"
"""Names of the untrained and the trained student in runs and reports."""


@dataclass
class Flow:
    """What all stations share.

    Attributes:
        arguments: The arguments of the run.
        collection: With a train and a dev split.
        pool: Teacher and assistants; the student may replace one of them on the way.
        student: The student as it came; stations reload it from disk and leave this object alone.
        make_loss: Makes the loss of an iteration.
        folder: The output folder.
        journal: Finished stations.
        evaluator: The host's evaluator during training, or None.
        callbacks: The user's callbacks.
    """

    arguments: MultiAssistantTrainingArguments
    collection: Collection
    pool: AssistantPool
    student: SentenceTransformer
    make_loss: LossFactory
    folder: RunFolder
    journal: Journal
    evaluator: BaseEvaluator | None = None
    callbacks: Sequence[TrainerCallback] = ()
    initial_scorers: list[Scorer] = field(init=False)
    student_store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.initial_scorers = list(self.pool.scorers)
        # Students' weights occur in no other run, so their embeddings stay with the run.
        self.student_store = Store(self.folder.root / "student-embeddings")

    def run(self) -> tuple[Path, int]:
        """All stations.

        Returns:
            Folder of the best student on the development split, and its iteration: -1 where no iteration improved on
            the warmed-up (or, without a warm-up, the untrained) student.
        """
        self.station("student-before", self.save_student_before)
        if len(unjudged(self.collection, "dev")):
            self.station("judge", self.judge)
            self.take_judgements()
        self.station("quality", self.measure_scorers)
        warmed = self.station("warm-up", self.warm_up)
        best, best_iteration = self.folder.root / warmed["student"], -1
        reached = warmed["dev"][MAIN_MEASURE] if "dev" in warmed else self.dev_quality()[BEFORE]
        for iteration in range(self.arguments.num_iterations):
            dev = self.iterate(iteration, best)
            if dev > reached:
                reached, best, best_iteration = dev, self.folder.iteration(iteration) / STUDENT, iteration
        self.station("test", lambda: self.test(best))
        self.station("throughput", lambda: self.measure_throughput(best))
        self.station("serving", lambda: self.serving(best))
        return best, best_iteration

    def iterate(self, iteration: int, start_from: Path) -> float:
        """Mine, score, train, evaluate, promote; the student's quality on the development split."""
        folder = self.folder.iteration(iteration)
        self.station(f"{folder.name}/mine", lambda: self.mine(iteration, start_from))
        self.station(f"{folder.name}/score", lambda: self.score(folder))
        self.station(f"{folder.name}/train", lambda: self.train(iteration, start_from))
        dev = self.station(f"{folder.name}/evaluate", lambda: self.evaluate(folder))["dev"]
        replaced = self.station(f"{folder.name}/promote", lambda: self.promote(dev))["replaced"]
        if replaced is not None:
            self.pool.replace(replaced, self.student_scorer(folder / STUDENT, folder.name))
        return float(dev[MAIN_MEASURE])

    def station(self, name: str, work: Callable[[], Result]) -> Result:
        """Works, or reads from the journal what was worked out before."""
        return self.journal.run(name, work)

    # The stations, in the order of the flow ---------------------------------------------------------------------

    def save_student_before(self) -> Result:
        """Keeps the student as it came."""
        stations.save_student(self.student, self.folder.student_before)
        return {}

    def judge(self) -> Result:
        """The teacher judges the development queries where nobody else has."""
        student = self.student_scorer(self.folder.student_before, BEFORE)
        retrievers = [student, *(assistant for assistant in self.pool.assistants if assistant.can_retrieve)]
        queries, depth = unjudged(self.collection, "dev"), self.arguments.eval_depth
        qrels = judge_by_teacher(self.collection, queries, self.pool.teacher, retrievers, depth)
        write_judgements(self.folder.judgements, qrels)
        return {"queries": len(qrels)}

    def take_judgements(self) -> None:
        """The collection, and the evaluator over it, with the teacher's judgements; queries without one go."""
        before, judged = self.collection, read_judgements(self.folder.judgements)
        dev = {query_id: own or judged.get(query_id, {}) for query_id, own in before.qrels["dev"].items()}
        dev = {query_id: grades for query_id, grades in dev.items() if grades}
        self.collection = replace(before, qrels={**before.qrels, "dev": dev})
        if isinstance(self.evaluator, CollectionEvaluator) and self.evaluator.collection is before:
            self.evaluator = CollectionEvaluator(self.collection, "dev")

    def measure_scorers(self) -> Result:
        """Development quality of every scorer and of the untrained student; the best searcher leads re-ranking."""
        scorers = [*self.pool.scorers, self.student_scorer(self.folder.student_before, BEFORE)]
        measured = {scorer.name: self.measure(scorer, "dev") for scorer in scorers if scorer.can_retrieve}
        leader = max((s for s in scorers if s.can_retrieve), key=lambda s: measured[s.name][MAIN_MEASURE])
        stage = self.retrieve(leader, self.collection.queries_of("dev"))
        measured |= {scorer.name: self.measure(scorer, "dev", stage) for scorer in scorers if not scorer.can_retrieve}
        return {"dev": measured, "first_stage": leader.name}

    def warm_up(self) -> Result:
        """Embedding regression to the best bi-encoder of the student's dimension, where there is one."""
        target = self.regression_target()
        if target is None:
            return {"student": BEFORE, "regressed_to": None}
        student = self.load_student(self.folder.student_before)
        queries, corpus = self.collection.queries, self.collection.corpus
        done = regress_embeddings(
            student,
            texts={"query": queries, DOCUMENTS: corpus},
            positions=self.regression_positions(),
            targets={
                "query": target.embed(queries, "query", np.arange(len(queries))),
                DOCUMENTS: target.embed(corpus, "document", np.arange(len(corpus))),
            },
            arguments=self.arguments,
            folder=self.folder.warm_up / "checkpoints",
        )
        stations.save_student(student, self.folder.warm_up / STUDENT)
        dev = self.measure(self.student_scorer(self.folder.warm_up / STUDENT, "warm-up"), "dev")
        return {"student": f"{self.folder.warm_up.name}/{STUDENT}", "regressed_to": target.name, "dev": dev, **done}

    def mine(self, iteration: int, start_from: Path) -> Result:
        """Draws the iteration's queries and mines their candidates."""
        folder = self.folder.iteration(iteration)
        student = self.student_scorer(start_from, STUDENT)
        available = stations.training_queries(self.collection)
        positives = self.positives(iteration)
        wrong = self.wrong_queries(student, available, positives) if iteration else available[:0]
        sample, hard = stations.draw_queries(available, wrong, self.arguments, iteration)
        mined = stations.mine_candidates(
            self.collection, np.union1d(sample, hard), positives, student, self.pool, self.arguments, iteration
        )
        folder.mkdir(parents=True, exist_ok=True)
        save_candidates(folder / "candidates.parquet", mined)
        np.savez(folder / "queries.npz", sample=sample, hard=hard)
        return {"queries": len(sample), "hard_queries": len(hard), "pairs": len(mined.passages)}

    def score(self, folder: Path) -> Result:
        """Scores the candidates by teacher and assistants, completes labels, fits temperatures."""
        mined = load_candidates(folder / "candidates.parquet")
        lists, scores, dropped = stations.score_candidates(self.collection, mined, self.pool)
        save_candidates(folder / "lists.parquet", lists)
        np.save(folder / "scores.npy", scores)
        return {
            "scorers": [scorer.name for scorer in self.pool.scorers],
            "temperatures": stations.fit_temperatures(lists, scores, self.arguments.target_entropy),
            "dropped_queries": dropped,
            "candidates_per_query": len(lists.passages) / len(lists),
        }

    def train(self, iteration: int, start_from: Path) -> Result:
        """One training with a fresh optimiser and schedule, from the best student so far."""
        folder = self.folder.iteration(iteration)
        student = self.load_student(start_from)
        lists, scores = load_candidates(folder / "lists.parquet"), np.load(folder / "scores.npy")
        with np.load(folder / "queries.npz") as drawn:
            rows = rows_of(lists, np.concatenate([drawn["sample"], drawn["hard"]]))
        temperatures = self.journal.result(f"{folder.name}/score")["temperatures"]
        targets = stations.make_targets(self.pool, temperatures, self.arguments)
        done = train_with_checkpoints(
            student,
            replace(self.arguments, seed=self.arguments.seed + iteration),
            listwise_dataset(lists.select(rows), scores[:, lists.pairs_of(rows)], self.collection.queries),
            self.collator(student),
            self.make_loss(student, targets),
            folder / "checkpoints",
            targets=targets,
            evaluator=self.evaluator,
            callbacks=self.callbacks,
        )
        stations.save_student(student, folder / STUDENT)
        return done

    def evaluate(self, folder: Path) -> Result:
        """The student on the development split."""
        student = self.student_scorer(folder / STUDENT, STUDENT)
        run, dev = evaluate_scorer(student, self.collection, "dev", depth=self.arguments.eval_depth)
        write_run(folder / "dev.trec", run, tag=folder.name)
        return {"dev": dev}

    def promote(self, dev: dict[str, float]) -> Result:
        """Promotion is decided on the development split, never on test."""
        replaced = self.pool.replaceable(self.dev_quality(), dev[MAIN_MEASURE])
        return {"replaced": replaced, "pool": self.pool.assistant_names}

    def test(self, best: Path) -> Result:
        """Everything on the test split (the development split where there is none), read once, at the end."""
        split = "test" if self.collection.qrels.get("test") else "dev"
        students = [self.student_scorer(self.folder.student_before, BEFORE), self.student_scorer(best, STUDENT)]
        scorers = {scorer.name: scorer for scorer in [*self.initial_scorers, *students]}
        stage = None
        if not all(scorer.can_retrieve for scorer in scorers.values()):
            leader = scorers[self.journal.result("quality")["first_stage"]]
            stage = self.retrieve(leader, self.collection.queries_of(split))
        measured = {}
        for name, scorer in scorers.items():
            depth = self.arguments.eval_depth
            run, measured[name] = evaluate_scorer(scorer, self.collection, split, depth=depth, first_stage=stage)
            write_run(self.folder.runs / f"{file_name(name)}.trec", run, tag=file_name(name))
        return {"split": split, "measures": measured}

    def measure_throughput(self, best: Path) -> Result:
        """Queries per second of every scorer, on a few queries of the corpus at hand."""
        students = [self.student_scorer(self.folder.student_before, BEFORE), self.student_scorer(best, STUDENT)]
        return {
            scorer.name: queries_per_second(scorer, self.collection, self.arguments.eval_depth)
            for scorer in [*self.initial_scorers, *students]
        }

    def serving(self, best: Path) -> Result:
        """The student's quality with compressed passages, and with those of the models that share its space."""
        split = self.journal.result("test")["split"]
        student = self.student_scorer(best, STUDENT)
        depth = self.arguments.eval_depth
        return {"forms": measure_serving(student, self.initial_scorers, self.collection, split, depth)}

    # What stations need -----------------------------------------------------------------------------------------

    def student_scorer(self, folder: Path, name: str) -> BiEncoderScorer:
        """A student from disk as a frozen scorer."""
        student = self.load_student(folder)
        return BiEncoderScorer(student, name=name, store=self.student_store, precision=self.arguments.precision)

    def load_student(self, folder: Path) -> SentenceTransformer:
        """A fresh student from disk."""
        return stations.load_student(folder, self.arguments.max_length, str(self.arguments.device))

    def measure(self, scorer: Scorer, split: str, first_stage: Retrieved | None = None) -> dict[str, float]:
        """All measures of a scorer on a split."""
        depth = self.arguments.eval_depth
        return evaluate_scorer(scorer, self.collection, split, depth=depth, first_stage=first_stage)[1]

    def retrieve(self, scorer: Scorer, queries: IntArray) -> Retrieved:
        """The scorer's best passages at evaluation depth, and one more: the query's own passage may be dropped."""
        depth = min(self.arguments.eval_depth + 1, len(self.collection.corpus))
        return scorer.retrieve(self.collection.queries, self.collection.corpus, queries, depth)

    def dev_quality(self) -> dict[str, float]:
        """The main measure on the development split of everything that was or is in the pool."""
        quality = {name: measures[MAIN_MEASURE] for name, measures in self.journal.result("quality")["dev"].items()}
        for iteration in range(self.arguments.num_iterations):
            station = f"{self.folder.iteration(iteration).name}/evaluate"
            if station in self.journal:
                quality[self.folder.iteration(iteration).name] = self.journal.result(station)["dev"][MAIN_MEASURE]
        return quality

    def regression_target(self) -> BiEncoderScorer | None:
        """The best bi-encoder on dev whose embeddings are as wide as the student's."""
        if self.arguments.regression_epochs <= 0:
            return None
        dimension, quality = self.student.get_embedding_dimension(), self.dev_quality()
        bi_encoders = [scorer for scorer in self.pool.scorers if isinstance(scorer, BiEncoderScorer)]
        fitting = [scorer for scorer in bi_encoders if scorer.dimension == dimension]
        return max(fitting, key=lambda scorer: quality[scorer.name], default=None)

    def regression_positions(self) -> dict[str, IntArray]:
        """Training queries and passages, at most ``regression_max_texts``; no query of dev or test."""
        random = np.random.default_rng([self.arguments.seed, self.arguments.num_iterations])
        queries = np.unique(stations.training_queries(self.collection))
        passages = np.arange(len(self.collection.corpus), dtype=np.int64)
        share = min(1.0, self.arguments.regression_max_texts / (len(queries) + len(passages)))
        return {
            "query": np.sort(random.permutation(queries)[: int(share * len(queries))]),
            DOCUMENTS: np.sort(random.permutation(passages)[: int(share * len(passages))]),
        }

    def positives(self, iteration: int) -> Qrels:
        """Judged positives, and for unlabelled queries the teacher's best of earlier iterations."""
        positives = dict(self.collection.qrels.get("train", {}))
        if not len(self.collection.unlabelled):
            return positives
        for earlier in range(iteration):
            lists = load_candidates(self.folder.iteration(earlier) / "lists.parquet")
            marked = lists.keep(lists.positive & np.isin(lists.pair_queries, self.collection.unlabelled))
            query_ids = self.collection.queries.take_ids(marked.pair_queries)
            passage_ids = self.collection.corpus.take_ids(marked.passages)
            positives |= {query_id: {passage_id: 1} for query_id, passage_id in zip(query_ids, passage_ids)}
        return positives

    def wrong_queries(self, student: Scorer, available: IntArray, positives: Qrels) -> IntArray:
        """Training queries whose best passage by the student is not a positive one."""
        return available[positive_ranks(self.retrieve(student, available), self.collection, positives) != 1]

    def collator(self, student: SentenceTransformer) -> FlatDocumentsCollator:
        """The collator of an iteration."""
        per_forward = self.arguments.documents_per_forward
        if per_forward is None and self.arguments.device.type == "cpu":
            per_forward = 32
        return FlatDocumentsCollator(
            student.preprocess,
            prompts=self.arguments.prompts or column_prompts(student),
            router_mapping=self.arguments.router_mapping,
            corpus=self.collection.corpus,
            documents_per_forward=per_forward,
        )
