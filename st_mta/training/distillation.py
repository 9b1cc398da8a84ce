"""A distillation: every stage once, in order, each recorded in the journal when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.evaluation import BaseEvaluator
from torch import nn
from transformers import TrainerCallback

from st_mta.assistants.pool import AssistantPool
from st_mta.collections import load_collection
from st_mta.collections.unlabelled import load_texts
from st_mta.collections.view import View
from st_mta.errors import InputError
from st_mta.evaluation import CollectionEvaluator, RerankingEvaluator
from st_mta.evaluation.documents import refuse_finished
from st_mta.losses.by_name import find_loss
from st_mta.processes import processes
from st_mta.run.best import BestSoFar
from st_mta.run.folder import RunFolder
from st_mta.run.identity import run_identity
from st_mta.run.journal import LOG, Journal
from st_mta.run.results import Judged, Kept, Quality, RegressionTarget, Served, Taught, Tested, Trained, WarmedUp
from st_mta.scorers import ScorerOptions, load_scorer, with_view
from st_mta.scorers.made_of import with_parts
from st_mta.scorers.view import check_views
from st_mta.stores import Store, fingerprint_model
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.best_checkpoint import refuse_unknown_metric, what_a_best_checkpoint_depends_on
from st_mta.training.collection_of_run import collection_of_run
from st_mta.training.exits import EXITS, keep_exits
from st_mta.training.forgotten import forget_all, forget_losers
from st_mta.training.in_batch import check_in_batch
from st_mta.training.judgements import unjudged
from st_mta.training.loss import check_loss_supports, identity_of_loss, identity_of_own_functions, loss_of_run
from st_mta.training.reranker.refusals import refuse_for_rerankers
from st_mta.training.reranker.teaching import teacher_folders
from st_mta.training.run_state import BEFORE, MAIN_MEASURE, REGRESSION_TARGET, STUDENT, TEACH, WARM_UP, RunState
from st_mta.training.settled import computes_in_bf16, settle
from st_mta.training.stages import ITERATION, finish, with_teaching
from st_mta.training.stages.judge import judge, take_judgements
from st_mta.training.stages.keep_student import keep_student
from st_mta.training.stages.promote import apply_promotion
from st_mta.training.stages.quality import measure_quality
from st_mta.training.stages.regression_target import choose_regression_target
from st_mta.training.stages.teach import teach_together
from st_mta.training.stages.train import TRAIN, make_targets, train_together
from st_mta.training.stages.warm_up import warm_up, warm_up_together
from st_mta.training.student_folders import StudentFolders, copied
from st_mta.types import Collection, Scorer

Result = TypeVar("Result")


class Distillation(RunState):
    """A run from its inputs to the finished student; [`MultiAssistantTrainer`] and the benchmarks work with it."""

    @classmethod
    def prepare(
        cls,
        student: SentenceTransformer | CrossEncoder,
        arguments: MultiAssistantTrainingArguments,
        teacher: Any,
        assistants: Sequence[Any],
        collection: Collection | str | Path,
        *,
        loss: str | Callable[..., Any] | None = None,
        store: Store | str | Path | None = None,
        evaluator: BaseEvaluator | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        teacher_view: View | str | Path | None = None,
    ) -> Distillation:
        """Loads and checks everything; neither arguments nor student are changed.

        Nothing is written, but for generated queries, which go to the store.

        The arguments, and what is raised, are those of [`MultiAssistantTrainer`]; the student is copied.
        """
        store = Store.at(store)
        precision = "bf16" if computes_in_bf16(arguments) else "fp32"
        options = ScorerOptions(store, precision, str(arguments.device), arguments.max_length)
        loaded = load_collection(collection)
        unlabelled = None if arguments.regression_texts is None else load_texts(arguments.regression_texts)
        reader = load_scorer(teacher, options)
        pool = AssistantPool(
            reader if teacher_view is None else with_view(reader, teacher_view),
            [load_scorer(assistant, options) for assistant in _several(assistants)],
        )
        whole = collection_of_run(loaded, arguments, options)
        refuse_finished(pool.scorers, whole)
        viewed = check_views(
            pool.scorers,
            whole.queries,
            whole.corpus,
            other_texts=arguments.regression_texts is not None,
            cut=whole.windows is not None,
        )
        whole = replace(whole, notes=(*whole.notes, *viewed))
        processes().introduce([scorer for scorer in with_parts(pool.scorers) if scorer.divisible])
        check_in_batch(arguments, pool.teacher)
        students = StudentFolders(student, arguments.max_length, arguments.prompts, precision)
        _refuse_teacher_as_student(students, pool, options)
        teachers = None if arguments.teacher_learns is None else teacher_folders(pool.teacher, precision)
        if students.reranks:
            refuse_for_rerankers(arguments, pool.scorers, loss)
        factory = find_loss(arguments.loss if loss is None else loss)
        settled = settle(arguments, pool.scorers, students.original, "regression_weight" in factory.supports)
        make_loss = loss_of_run(factory, arguments, settled, pool.scorers, loss)
        probe = make_loss(copied(students.original), make_targets(pool, arguments), None)
        check_loss_supports(probe, factory, arguments)
        if evaluator is None and arguments.eval_strategy != "no":
            evaluator = dev_evaluator(whole, pool.scorers, students.reranks)
        refuse_unknown_metric(arguments, evaluator)
        identity = run_identity(
            arguments,
            {
                "bf16": settled.bf16,
                "device": settled.device,
                "regression_weight": settled.regression_weight,
                "num_candidates": settled.num_candidates,
                "loss": identity_of_loss(probe, loss),
                "frozen": [name for name, weight in students.original.named_parameters() if not weight.requires_grad],
                **what_a_best_checkpoint_depends_on(arguments, evaluator),
                **({} if store.embeddings.stored_in == "fp32" else {"embeddings": store.embeddings.stored_in}),
                **({} if unlabelled is None else {"regression_texts": unlabelled.fingerprint}),
                **({"own_functions": own} if (own := identity_of_own_functions(arguments, loss)) else {}),
            },
            collection=whole,
            teacher=pool.teacher,
            assistants=pool.assistants,
            student=fingerprint_model(students.original),
        )
        folder = RunFolder(Path(str(arguments.output_dir)))
        students.store = Store(folder.root / "student-embeddings", store.embeddings.stored_in)
        if teachers is not None:
            teachers.store = students.store
        return cls(
            arguments=arguments,
            settled=settled,
            collection=whole,
            pool=pool,
            students=students,
            make_loss=make_loss,
            folder=folder,
            unlabelled=unlabelled,
            journal=Journal(folder.journal, identity, store.ledger),
            evaluator=evaluator,
            callbacks=list(callbacks),
            teachers=teachers,
        )

    def run(self) -> BestSoFar:
        """All stages; the best student on the development split and where it comes from."""
        best = self.learn()
        self.stage("test", lambda: finish.test(self, best.folder), Tested)
        self.stage("throughput", lambda: finish.speed(self, best.folder), dict)
        if self.arguments.exits:
            self.stage(EXITS, lambda: keep_exits(self, best.folder), dict)
        self.stage("serving", lambda: finish.serve(self, best.folder), Served)
        forget_all(self, best)
        return best

    def calls(self) -> dict[str, Callable[..., Any]]:
        """What every process does when rank 0 says so, for [`st_mta.processes.Processes.lead`]."""
        return {
            TRAIN: partial(train_together, self),
            WARM_UP: partial(warm_up_together, self),
            TEACH: partial(teach_together, self),
        }

    def learn(self) -> BestSoFar:
        """The stages that make the student; the test split is not read.

        The untrained student, the warmed-up one and every iteration's compete on the development split.
        """
        best = self.begin()
        while best.wants_another(self.arguments.num_iterations, self.arguments.patience):
            folder = self.folder.iteration(best.done)
            best.take_iteration(self.iterate(best.done, best.folder), folder / STUDENT, folder.name)
            forget_losers(self, best)
        return best

    def begin(self) -> BestSoFar:
        """The stages before the iterations; the better of the untrained and the warmed-up student."""
        self.folder.prepare()
        self.journal.open()
        self.pool = AssistantPool(self.initial_scorers[0], self.initial_scorers[1:])  # as it was before any promotion
        self.teacher_so_far = None
        self.stage("student-before", lambda: keep_student(self), Kept)
        if len(unjudged(self.collection, "dev")):
            self.stage("judge", lambda: judge(self), Judged)
            take_judgements(self)
        self.stage("quality", lambda: measure_quality(self), Quality)
        if "serving" not in self.journal:  # finished runs of older versions have recorded none and need none
            self.stage(REGRESSION_TARGET, lambda: choose_regression_target(self), RegressionTarget)
        warmed = self.stage("warm-up", lambda: warm_up(self), WarmedUp)
        best = BestSoFar(self.dev_quality()[BEFORE], self.folder.student_before, BEFORE)
        if warmed.dev is not None:
            best.take(warmed.dev[MAIN_MEASURE], self.folder.root / warmed.student, WARM_UP)
        return best

    def iterate(self, iteration: int, start_from: Path) -> float:
        """The stages of an iteration; the student's quality on the development split."""
        results = {}
        teaches = iteration > 0 and self.arguments.teacher_learns is not None
        for stage in with_teaching(ITERATION) if teaches else ITERATION:
            results[stage.name] = self._iteration_stage(stage, iteration, start_from)
            if stage.name == TEACH:
                self.take_teacher(iteration, results[TEACH])
        if (replaced := results["promote"].replaced) is not None:
            apply_promotion(self, iteration, replaced)
        return float(results["evaluate"].dev[MAIN_MEASURE])

    def _iteration_stage(self, stage: Any, iteration: int, start_from: Path) -> Any:
        name = f"{self.folder.iteration(iteration).name}/{stage.name}"
        return self.stage(name, lambda: stage.work(self, iteration, start_from), stage.kind)

    def stage(self, name: str, work: Callable[[], Result], kind: Callable[..., Result]) -> Result:
        """Works, or reads from the journal what was worked out before."""
        result = self.journal.run(name, work, kind)
        if kind in (Trained, WarmedUp, Taught):  # only now, when the student is saved and the stage recorded
            self.folder.remove_checkpoints(name)
        return result

    def logs(self) -> Iterator[tuple[str, Path]]:
        """Name and log history of every training so far, in their order."""
        names = [self.folder.warm_up, *(self.folder.iteration(i) for i in range(self.arguments.num_iterations))]
        return ((folder.name, folder / LOG) for folder in names if (folder / LOG).exists())


def dev_evaluator(collection: Collection, scorers: Sequence[Scorer], reranks: bool) -> CollectionEvaluator:
    """The evaluator over the development split; a student that re-ranks gets what the first searcher finds there."""
    if not reranks:
        return CollectionEvaluator(collection, "dev")
    teacher, *assistants = scorers
    return RerankingEvaluator(
        collection, "dev", first_stage=next((one for one in assistants if one.can_retrieve), teacher)
    )


def _refuse_teacher_as_student(students: StudentFolders, pool: AssistantPool, options: ScorerOptions) -> None:
    precision = getattr(pool.teacher, "precision", options.precision)
    same = load_scorer(students.original, options, name=STUDENT, precision=precision)
    if same.fingerprint != pool.teacher.fingerprint:
        return
    raise InputError(
        expected="a student that is not its own teacher",
        got=f"the same model as teacher ({pool.teacher.name!r}) and student",
        consequence="the student would learn what it already knows",
        remedy="keep fewer layers of it (--student-layers 0 2 5, prune_layers), or name another student",
    )


def _several(assistants: Any) -> Sequence[Any]:
    """The assistants as given; one alone would be read letter by letter, or not at all."""
    if assistants is None:
        return ()
    if isinstance(assistants, Iterable) and not isinstance(assistants, (str, Path, nn.Module)):
        return list(assistants)
    raise InputError(
        expected="a list of assistants",
        got=repr(assistants) if isinstance(assistants, (str, Path)) else f"one {type(assistants).__name__}",
        remedy="put it into brackets: assistants=[...]",
    )
