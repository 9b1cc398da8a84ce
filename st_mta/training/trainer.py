"""`MultiAssistantTrainer`: the whole method behind the host's trainer."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from sentence_transformers import CrossEncoder, SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from torch import nn
from transformers import TrainerCallback

from st_mta.collections.view import View
from st_mta.errors import InputError
from st_mta.hub import attach_lineage, push_run
from st_mta.processes import processes
from st_mta.report import Report, write_report
from st_mta.report.build import build_report
from st_mta.run.lock import locked
from st_mta.run.seen import refuse_other_texts, refuse_unseen
from st_mta.scorers import load_any_student
from st_mta.stores import Store
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.distillation import Distillation, dev_evaluator
from st_mta.training.run_state import BEFORE, STUDENT
from st_mta.training.several import refuse_other_dealing, refuse_router
from st_mta.training.sharded import refuse_sharded
from st_mta.training.students import routes_of
from st_mta.types import Collection

logger = logging.getLogger(__name__)

MADE_BY_THE_RUN = (
    "get_train_dataloader get_eval_dataloader get_test_dataloader create_optimizer create_scheduler "
    "create_optimizer_and_scheduler compute_loss training_step prediction_step predict hyperparameter_search"
).split()
"""What the host's trainer does with data, loss and optimiser; here each iteration has its own. Refused."""


class MultiAssistantTrainer(SentenceTransformerTrainer):
    """Distils a teacher and its assistants into a student, iteration by iteration (MTA4DPR, EMNLP 2024).

    Each iteration mines candidates with the student and the assistants, scores them with all scorers, trains the
    student on the teacher's distributions (and, as ``alpha`` says, on those of the assistant or fusion of assistants
    closest to it), evaluates on the development split, and lets the student replace the worst assistant where it
    beats it. Every stage is recorded when it ends; a killed run resumes with ``train(resume_from_checkpoint=True)``
    and ends with the same weights.

    Under torchrun or accelerate launch every process makes the trainer and calls ``train``; see
    [`st_mta.processes`] for who does what. Batch sizes are those of one process, as with the host.

    Of the host's trainer, callbacks, ``evaluate``, ``save_model``, ``push_to_hub``, ``state`` and its log work as
    there; what belongs to a single training with its data set (``get_train_dataloader``, ``predict``,
    ``hyperparameter_search`` and the like) is refused.

    Args:
        model: The student: a SentenceTransformer, or the name or folder of one. A CrossEncoder is trained on its
            logits of the lists; it is measured by re-ranking, and a scorer that searches has to bring it candidates.
        args: The arguments; ``MultiAssistantTrainingArguments("tmp_trainer")`` by default. They are not changed.
        teacher: A model, a scorer, or a name as for [`load_scorer`].
        assistants: The same for each assistant; none gives plain distillation from the teacher.
        collection: What [`load_collection`] takes or returns.
        loss: An objective (student logits, target log-probabilities, mask) or a function that makes the loss from
            the student and the targets; a class among the host's distillation losses; or a word as for ``args.loss``,
            which is the default. See [`st_mta.losses.by_name.find_loss`].
        evaluator: An evaluator of the host, run during training where ``args.eval_strategy`` says, and by
            ``evaluate``; by default one over the development split.
        store: Where scores and embeddings are kept; the user's cache folder by default.
        teacher_view: What the teacher reads instead of the collection's own texts: a [`View`], or a folder with
            corpus.jsonl or queries.jsonl under the same ids; see [`with_view`], which does the same for assistants.
        callbacks: Callbacks of the host, given to the training of the warm-up and of every iteration.

    Raises:
        InputError: If teacher and student are the same model, two scorers are the same, the collection has nothing to
            train on, an argument would have no effect, or ``regression_weight`` is positive and no bi-encoder is as
            wide as the student.
    """

    training_args_class = MultiAssistantTrainingArguments

    def __init__(
        self,
        model: SentenceTransformer | CrossEncoder | str | Path,
        args: MultiAssistantTrainingArguments | None = None,
        *,
        teacher: Any,
        assistants: Sequence[Any] = (),
        collection: Collection | str | Path,
        loss: str | Callable[..., Any] | None = None,
        evaluator: BaseEvaluator | list[BaseEvaluator] | None = None,
        store: Store | str | Path | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        teacher_view: View | str | Path | None = None,
    ) -> None:
        args = args or MultiAssistantTrainingArguments("tmp_trainer")
        _refuse_other_arguments(args)
        self._refuse_overridden()
        student = load_any_student(model, device=str(args.device))
        refuse_router(student, args)
        self.distillation = Distillation.prepare(
            student,
            args,
            teacher,
            assistants,
            collection,
            loss=loss,
            store=store,
            evaluator=evaluator,
            teacher_view=teacher_view,
        )
        # The losses and data sets of the iterations are made when their time comes.
        super().__init__(
            model=student,
            args=args,
            loss=nn.Identity(),
            evaluator=evaluator or self.distillation.evaluator,
            data_collator=SentenceTransformerDataCollator(
                student.preprocess, router_mapping=routes_of(student, args.router_mapping)
            ),
        )
        self.evaluator: BaseEvaluator | None
        self._own_callbacks = list(self.callback_handler.callbacks)
        for callback in callbacks:
            self.add_callback(callback)

    @property
    def collection(self) -> Collection:
        """The collection as it is trained on, with a train and a dev split."""
        return self.distillation.collection

    def train(
        self,
        resume_from_checkpoint: bool | str | None = None,
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> Report:
        """Runs every iteration, keeps the best student, evaluates it on the test split and writes the report.

        Args:
            resume_from_checkpoint: True (or the output folder) resumes a run begun in ``args.output_dir`` under the
                same arguments.
            trial: Of hyperparameter search, which is refused.
            ignore_keys_for_eval: Of the host; without effect on an evaluator, therefore refused.

        Returns:
            The report, as written to ``report.json``.

        Raises:
            InputError: If the output folder holds a run and ``resume_from_checkpoint`` is not given, or a run with
                other arguments, or other things under the names that a run writes.
        """
        if trial is not None or ignore_keys_for_eval is not None:
            self._refuse("hyperparameter_search and ignore_keys_for_eval")
        run = self.distillation
        refuse_unseen(run.folder.root)
        refuse_other_texts(run.collection.fingerprint)
        report = processes().lead(lambda: self._lead(resume_from_checkpoint), run.calls())
        if not processes().leads:
            student = run.students.load(run.folder.student)
            attach_lineage(student, report, made_from=self.model)
            self._take_student(student)
        self._take_state()
        if self.args.push_to_hub:
            self.push_to_hub()
        return report

    def _lead(self, resume: bool | str | None) -> Report:
        """The whole run; on rank 0 where there are several processes."""
        if (size := processes().size) > 1:
            batch = self.args.per_device_train_batch_size
            logger.info(
                "%d processes work together; a training step takes %d queries, %d of each.", size, size * batch, batch
            )
        with locked(self.distillation.folder.root):
            return self._train(resume)

    def _train(self, resume: bool | str | None) -> Report:
        run = self.distillation
        self._refuse_begun(resume)
        run.folder.refuse_unusable()
        run.folder.refuse_long_names([scorer.name for scorer in run.initial_scorers])
        run.callbacks = [c for c in self.callback_handler.callbacks if c not in self._own_callbacks]
        run.unwanted_callbacks = [type(c) for c in self._own_callbacks if c not in self.callback_handler.callbacks]
        best = run.run()
        student = run.students.load(best.folder)
        report = build_report(
            journal=run.journal,
            folder=run.folder,
            collection=run.collection.over_documents,
            scorers=run.initial_scorers,
            before=run.students.scorer(run.folder.student_before, BEFORE),
            student=run.students.scorer(best.folder, STUDENT),
            best=best,
            num_iterations=self.args.num_iterations,
            settings={
                "seed": self.args.seed,
                "depth": self.args.eval_depth,
                "device": str(self.args.device),
                "precision": run.settled.precision,
                "recipe": run.recipe,
            },
        )
        attach_lineage(student, report, made_from=self.model)
        with run.folder.manifest.recording("report"):
            run.students.save(student, run.folder.student)
            write_report(run.folder.root, report, collection=run.collection.over_documents)
        self._take_student(student)
        return report

    def _take_student(self, student: Any) -> None:
        """Makes the trainer's model what was trained."""
        self.model.load_state_dict(student.state_dict())
        if self.args.max_length is not None:
            self.model.max_seq_length = student.max_seq_length
        self.model.prompts, self.model.model_card_data = student.prompts, student.model_card_data

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Measures the student as it is now: by the evaluator given, or on the development split.

        Args:
            eval_dataset: Refused: candidates and scores exist within an iteration only.
            ignore_keys: Of the host; unused, as there with an evaluator.
            metric_key_prefix: In front of every measure.
        """
        if eval_dataset is not None:
            self._refuse("an eval_dataset")
        if self.evaluator is None:
            run = self.distillation
            self.evaluator = dev_evaluator(self.collection, run.initial_scorers, run.reranks)
        evaluator = self.evaluator
        measured = processes().on_leader(lambda: evaluator(self.model))
        measured = measured if isinstance(measured, dict) else {"score": measured}
        metrics = {f"{metric_key_prefix}_{name}": float(value) for name, value in measured.items()}
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _take_state(self) -> None:
        """The log of all trainings, one after the other, as the host's state and callbacks know it."""
        self.state.log_history, self.state.global_step = [], 0
        for training, path in self.distillation.logs():
            log = json.loads(path.read_text(encoding="utf-8"))
            before = self.state.global_step
            for entry in log:
                self.state.log_history.append({**entry, "step": before + entry["step"], "training": training})
            self.state.global_step = before + max((entry["step"] for entry in log), default=0)
        self.state.max_steps = self.state.global_step
        self.state.epoch = max((entry.get("epoch", 0) for entry in self.state.log_history), default=0)

    def _refuse_begun(self, resume: bool | str | None) -> None:
        root = self.distillation.folder.root
        if isinstance(resume, str) and Path(resume).resolve() != root.resolve():
            expected = f"resume_from_checkpoint=True, or the output folder {root}"
            raise InputError(expected=expected, got=resume, remedy="name that folder as output_dir")
        if self.distillation.folder.begun and not resume:
            raise InputError(
                expected="an output folder without a run in it",
                got=f"{root}, where one was begun",
                consequence="its work would be lost",
                remedy="pass resume_from_checkpoint=True to resume it, or name another folder",
            )

    def _refuse_overridden(self) -> None:
        """A subclass that overrides a step of the host's training would see it ignored."""
        for name in MADE_BY_THE_RUN:
            if getattr(type(self), name) is not getattr(MultiAssistantTrainer, name):
                self._refuse(f"an overridden {name}")

    def _refuse(self, what: str) -> NoReturn:
        raise InputError(
            expected="what MultiAssistantTrainer can do of the host's trainer",
            got=what,
            consequence="it would have no effect: data, loss and optimiser are made anew in every iteration",
            remedy="use a loss of your own (loss=), callbacks, or ListwiseKLLoss in a SentenceTransformerTrainer",
        )

    def push_to_hub(
        self,
        repo_id: str | None = None,
        token: str | None = None,
        private: bool | None = None,
        commit_message: str | None = None,
        *,
        replace_model_card: bool = False,
        **options: Any,
    ) -> str:
        """Publishes the student with its card and the run's evidence, as ``st-mta push`` does.

        Args:
            repo_id: owner/name; by default ``args.hub_model_id``, or what the host made of the output folder's name.
            token: Of the Hub; by default ``args.hub_token`` or the one this machine is logged in with.
            private: Whether a new repository is private; by default ``args.hub_private_repo``.
            commit_message: Of the one commit.
            replace_model_card: Whether a card that is already there is replaced.
            options: exist_ok, revision and create_pr, as for [`st_mta.hub.upload.upload`].

        Returns:
            The address of the commit or pull request.

        Raises:
            InputError: If the run is not finished, or the Hub does not take it.
        """
        push = partial(
            push_run,
            Path(self.args.output_dir),
            repo_id or self.args.hub_model_id or self.hub_model_id or "",
            message=commit_message,
            token=token or self.args.hub_token,
            private=self.args.hub_private_repo if private is None else private,
            replace_card=replace_model_card,
            **options,
        )
        return processes().on_leader(push)


def _refused(name: str) -> Callable[..., NoReturn]:
    def method(self: MultiAssistantTrainer, *_: Any, **__: Any) -> NoReturn:
        self._refuse(name)

    method.__doc__ = "Refused: data, loss and optimiser are made anew in every iteration."
    return method


for _name in MADE_BY_THE_RUN:
    setattr(MultiAssistantTrainer, _name, _refused(_name))


def _refuse_other_arguments(args: Any) -> None:
    if not isinstance(args, MultiAssistantTrainingArguments):
        raise InputError(
            expected="MultiAssistantTrainingArguments",
            got=type(args).__name__,
            remedy="use MultiAssistantTrainingArguments(...), which takes every argument of the host as well",
        )
    refuse_sharded(args)
    refuse_other_dealing(args)
