"""The flow of a run: every station once, in order, each recorded in the journal when it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from transformers import set_seed

from st_mta.evaluation import CollectionEvaluator, evaluate_scorer
from st_mta.losses import set_filter_iteration
from st_mta.mining import load_candidates, save_candidates
from st_mta.run.best import Standing
from st_mta.run.folder import file_name
from st_mta.run.journal import Result
from st_mta.training import stations
from st_mta.training.alpha_schedule import alpha_schedule
from st_mta.training.checkpoints import train_with_checkpoints
from st_mta.training.collator import DOCUMENTS
from st_mta.training.curriculum import count_hard, draw_queries
from st_mta.training.dataset import listwise_dataset
from st_mta.training.judgements import judge_by_teacher, unjudged
from st_mta.training.lists import rows_of
from st_mta.training.queries import training_positives, training_queries
from st_mta.training.regression import regression_embeddings, regression_positions
from st_mta.training.run_state import BEFORE, MAIN_MEASURE, STUDENT, RunState
from st_mta.training.serving import measure_serving
from st_mta.training.teacher_check import warn_if_teacher_knows_less
from st_mta.training.throughput import queries_per_second
from st_mta.training.warm_up import regress_embeddings
from st_mta.trec import read_qrels, write_qrels, write_run


class Flow(RunState):
    """A run, station by station."""

    def run(self) -> Standing:
        """All stations.

        Returns:
            The best student on the development split and where it comes from: iteration -1 where none improved on
            the warmed-up (or, without a warm-up, the untrained) student.
        """
        standing = self.learn()
        self.station("test", lambda: self.test(standing.best))
        self.station("throughput", lambda: self.measure_throughput(standing.best))
        self.station("serving", lambda: self.serving(standing.best))
        return standing

    def learn(self) -> Standing:
        """The stations that make the student; the test split is not read."""
        self.station("student-before", self.save_student_before)
        if len(unjudged(self.collection, "dev")):
            self.station("judge", self.judge)
            self.take_judgements()
        self.station("quality", self.measure_scorers)
        warmed = self.station("warm-up", self.warm_up)
        reached = warmed["dev"][MAIN_MEASURE] if "dev" in warmed else self.dev_quality()[BEFORE]
        standing = Standing(reached, self.folder.root / warmed["student"])
        while standing.goes_on(self.arguments.num_iterations, self.arguments.patience):
            dev = self.iterate(standing.done, standing.best)
            standing.take(dev, self.folder.iteration(standing.done) / STUDENT)
        return standing

    def iterate(self, iteration: int, start_from: Path) -> float:
        """Mine, score, train, evaluate, promote; the student's quality on the development split."""
        folder = self.folder.iteration(iteration)
        self.station(f"{folder.name}/mine", lambda: self.mine(iteration, start_from))
        self.station(f"{folder.name}/score", lambda: self.score(iteration, start_from))
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
        retrievers = stations.retrievers(student, self.pool)
        queries, depth = unjudged(self.collection, "dev"), self.arguments.eval_depth
        qrels = judge_by_teacher(self.collection, queries, self.pool.teacher, retrievers, depth)
        write_qrels(self.folder.judgements, qrels)
        return {"queries": len(qrels)}

    def take_judgements(self) -> None:
        """The collection, and the evaluator over it, with the teacher's judgements; queries without one go."""
        before, judged = self.collection, read_qrels(self.folder.judgements)
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
        quality = {name: values[MAIN_MEASURE] for name, values in measured.items()}
        warn_if_teacher_knows_less(self.pool.teacher.name, self.pool.assistant_names, quality)
        return {"dev": measured, "first_stage": leader.name}

    def warm_up(self) -> Result:
        """Embedding regression to the best bi-encoder of the student's dimension, where there is one."""
        target = self.regression_target() if self.arguments.regression_epochs > 0 else None
        if target is None:
            return {"student": BEFORE, "regressed_to": None}
        student = self.load_student(self.folder.student_before)
        done = regress_embeddings(
            student,
            texts={"query": self.collection.queries, DOCUMENTS: self.collection.corpus},
            positions=regression_positions(self.collection, self.arguments),
            targets=regression_embeddings(target, self.collection),
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
        available = training_queries(self.collection)
        positives = training_positives(self.collection, self.folder, iteration)
        harder = iteration > 0 and self.arguments.hard_queries
        ranks = self.student_ranks(student, available, positives) if harder else None
        sample, hard = draw_queries(available, ranks, self.arguments, iteration)
        num_hard = count_hard(sample, hard, available, ranks)
        mined = stations.mine_candidates(
            self.collection, np.union1d(sample, hard), positives, student, self.pool, self.arguments, iteration
        )
        folder.mkdir(parents=True, exist_ok=True)
        save_candidates(folder / "candidates.parquet", mined)
        np.savez(folder / "queries.npz", sample=sample, hard=hard)
        return {"queries": len(sample), "hard_queries": num_hard, "pairs": len(mined.passages)}

    def score(self, iteration: int, start_from: Path) -> Result:
        """Scores the candidates by every scorer, completes and filters the lists, fits temperatures and weights."""
        folder = self.folder.iteration(iteration)
        mined = load_candidates(folder / "candidates.parquet")
        lists, scores, dropped = stations.score_candidates(self.collection, mined, self.pool)
        passages = partial(self.passage_embeddings, start_from)
        lists, scores, filtered = stations.filter_candidates(lists, scores, passages, self.arguments, iteration)
        save_candidates(folder / "lists.parquet", lists)
        np.save(folder / "scores.npy", scores)
        temperatures = stations.fit_calibration(lists, scores, self.pool, self.arguments)
        return {
            "scorers": [scorer.name for scorer in self.pool.scorers],
            "temperatures": temperatures,
            "weights": self.fusion_weights(start_from, temperatures[1:]),
            "alpha": self.alpha(),
            "student_scale": stations.fit_student_scale(
                self.collection, lists, self.student_scorer(start_from, STUDENT), self.arguments
            ),
            "dropped_queries": dropped,
            "candidates_per_query": len(lists.passages) / len(lists),
            **filtered,
        }

    def train(self, iteration: int, start_from: Path) -> Result:
        """One training with a fresh optimiser and schedule, from the best student so far."""
        folder = self.folder.iteration(iteration)
        student = self.load_student(start_from)
        lists, scores = load_candidates(folder / "lists.parquet"), np.load(folder / "scores.npy")
        with np.load(folder / "queries.npz") as drawn:
            rows = rows_of(lists, np.concatenate([drawn["sample"], drawn["hard"]]))
        scored = self.journal.result(f"{folder.name}/score")
        fitted = scored["temperatures"], scored["weights"], scored["alpha"], scored["student_scale"]
        targets = stations.make_targets(self.pool, *fitted, self.arguments)
        arguments = replace(self.arguments, seed=self.arguments.seed + iteration)
        set_seed(arguments.seed)  # for weights that a loss has of its own
        loss = self.make_loss(student, targets)
        set_filter_iteration(loss, iteration)
        done = train_with_checkpoints(
            student,
            arguments,
            listwise_dataset(lists.select(rows), scores[:, lists.pairs_of(rows)], self.collection.queries),
            stations.make_collator(student, self.collection, self.arguments, self.embeddings_to_regress_to()),
            loss,
            folder / "checkpoints",
            targets=targets,
            schedule=alpha_schedule(loss, self.arguments, iteration),
            evaluator=self.evaluator,
            callbacks=self.callbacks,
        )
        stations.save_student(student, folder / STUDENT)
        alpha = getattr(loss, "alpha", None)  # a loss of the user's own may have none, or mean something else by it
        return {**done, "alpha": float(alpha) if isinstance(alpha, (int, float)) else None}

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
        return queries_per_second([*self.initial_scorers, *students], self.collection, self.arguments.eval_depth)

    def serving(self, best: Path) -> Result:
        """The student's quality with compressed passages, and with those of the models that share its space."""
        split = self.journal.result("test")["split"]
        student = self.student_scorer(best, STUDENT)
        depth = self.arguments.eval_depth
        return {"forms": measure_serving(student, self.initial_scorers, self.collection, split, depth)}
