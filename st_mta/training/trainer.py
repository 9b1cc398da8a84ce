"""`MultiAssistantTrainer`: the whole method behind the host's trainer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.base.evaluation import BaseEvaluator
from torch import nn
from transformers import TrainerCallback

from st_mta.assistants.pool import AssistantPool
from st_mta.assistants.targets import AssistantTargets
from st_mta.collections import load_collection, with_dev_split, with_training_queries
from st_mta.errors import InputError
from st_mta.evaluation import CollectionEvaluator
from st_mta.hub import attach_lineage, push_run
from st_mta.hub.losses import describe_loss
from st_mta.losses import ListwiseKLLoss
from st_mta.losses.similarity import resolve_similarity
from st_mta.precision import resolve_precision
from st_mta.report import write_report
from st_mta.report.build import build_report
from st_mta.report.schema import Report
from st_mta.run.best import Standing
from st_mta.run.folder import RunFolder
from st_mta.run.identity import run_configuration
from st_mta.run.journal import Journal
from st_mta.scorers import BiEncoderScorer, load_scorer
from st_mta.stores import Store
from st_mta.training import stations
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.custom_loss import refuse_heedless_loss
from st_mta.training.flow import Flow
from st_mta.training.regression import refuse_regression_to_nobody, settle_regression_weight
from st_mta.training.run_state import BEFORE, STUDENT, LossFactory
from st_mta.types import Collection


class MultiAssistantTrainer(SentenceTransformerTrainer):
    """Distils a teacher and its assistants into a student, iteration by iteration (MTA4DPR, EMNLP 2024).

    Each iteration mines candidates with the student and the assistants, scores them with all scorers, trains the
    student on the teacher and the (fused) assistant closest to it, evaluates on the development split, and lets the
    student replace the worst assistant where it beats it. Every station is recorded when it ends; a killed run goes on
    with ``train(resume_from_checkpoint=True)`` and ends with the same weights.

    Args:
        model: The student: a SentenceTransformer, or the name or folder of one.
        args: The arguments; ``MultiAssistantTrainingArguments("tmp_trainer")`` by default.
        teacher: A model, a scorer, or a name as for [`load_scorer`].
        assistants: The same for each assistant; none gives plain distillation from the teacher.
        collection: What [`load_collection`] takes or returns.
        loss: Makes the loss from the student and the targets; [`ListwiseKLLoss`] by default.
        evaluator: An evaluator of the host, run during training where ``args.eval_strategy`` says; by default one
            over the development split.
        store: Where scores and embeddings are kept; the user's cache folder by default.
        callbacks: Callbacks of the host, given to the training of every iteration.

    Raises:
        InputError: If teacher and student are the same model, two scorers are the same, the collection has nothing to
            train on, or ``regression_weight`` is positive and no bi-encoder is as wide as the student.
    """

    training_args_class = MultiAssistantTrainingArguments

    def __init__(
        self,
        model: SentenceTransformer | str,
        args: MultiAssistantTrainingArguments | None = None,
        *,
        teacher: Any,
        assistants: Sequence[Any] = (),
        collection: Collection | str | Path,
        loss: LossFactory | None = None,
        evaluator: BaseEvaluator | list[BaseEvaluator] | None = None,
        store: Store | str | Path | None = None,
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        args = args or MultiAssistantTrainingArguments("tmp_trainer")
        _refuse_several_processes(args)
        student = SentenceTransformer(model, device=str(args.device)) if isinstance(model, str) else model
        if args.max_length is not None:
            student.max_seq_length = args.max_length
        args.bf16 = args.bf16 or resolve_precision(args.precision, args.device) == torch.bfloat16
        self.collection = with_dev_split(
            with_training_queries(load_collection(collection), args.seed, args.num_crops),
            args.seed,
            max_queries=args.max_eval_queries,
        )
        self.store = store if isinstance(store, Store) else Store(store)
        options: dict[str, Any] = {
            "store": self.store,
            "precision": args.precision,
            "device": str(args.device),
            "max_length": args.max_length,
        }
        self.pool = AssistantPool(
            load_scorer(teacher, **options), [load_scorer(assistant, **options) for assistant in assistants]
        )
        _refuse_teacher_as_student(student, self.pool)
        settle_regression_weight(args, self.pool.scorers, student, own_loss=loss is not None)
        refuse_regression_to_nobody(args, self.pool.scorers, student)
        self.loss_factory = loss or default_loss(args)
        if evaluator is None and args.eval_strategy != "no":
            evaluator = CollectionEvaluator(self.collection, "dev")
        # The losses and data sets of the iterations are made when their time comes.
        super().__init__(model=student, args=args, loss=nn.Identity(), evaluator=evaluator, callbacks=list(callbacks))
        self.user_callbacks = list(callbacks)

    def train(self, resume_from_checkpoint: bool | str | None = None, **kwargs: Any) -> Report:
        """Runs every iteration, keeps the best student, evaluates it on the test split and writes the report.

        Args:
            resume_from_checkpoint: True goes on with a run begun in ``args.output_dir`` under the same arguments.
            kwargs: Accepted for the host's signature; unused.

        Returns:
            The report, as written to ``report.json``.

        Raises:
            InputError: If the output folder holds a run and ``resume_from_checkpoint`` is not given, or a run with
                other arguments; if an argument names a function that does not exist, or the loss would not heed one.
        """
        self.refuse_what_fails_later()
        flow = self._flow(bool(resume_from_checkpoint))
        standing = flow.run()
        student = flow.load_student(standing.best)
        report = self._report(flow, standing)
        loss = self.loss_factory(student, stations.unfitted_targets(self.pool, self.args))
        report.setdefault("loss", describe_loss(loss))
        attach_lineage(student, report, made_from=self.model)
        stations.save_student(student, flow.folder.student)
        write_report(flow.folder.root, report, collection=flow.collection)
        self.model.load_state_dict(student.state_dict())
        self.model.model_card_data = student.model_card_data
        return report

    def refuse_what_fails_later(self) -> None:
        """Fusion and selection are looked up, and a user's loss is made once to see whether it heeds the arguments."""
        targets = stations.unfitted_targets(self.pool, self.args)
        if self.args.regression_weight or self.args.alpha_end is not None:
            refuse_heedless_loss(self.loss_factory(self.model, targets), self.args)

    def _flow(self, resume: bool) -> Flow:
        folder = RunFolder(Path(self.args.output_dir))
        if folder.journal.exists() and not resume:
            raise InputError(
                expected="an output folder without a run in it",
                got=f"{folder.root}, where one was begun",
                consequence="its work would be lost",
                remedy="pass resume_from_checkpoint=True to go on with it, or name another folder",
            )
        configuration = run_configuration(self.args, self.collection, self.pool, self.model)
        return Flow(
            self.args,
            self.collection,
            self.pool,
            self.model,
            self.loss_factory,
            folder,
            Journal(folder.journal, configuration, self.store.ledger),
            self.evaluator,
            self.user_callbacks,
        )

    def _report(self, flow: Flow, standing: Standing) -> Report:
        teacher, *assistants = flow.initial_scorers
        return build_report(
            journal=flow.journal,
            folder=flow.folder,
            collection=flow.collection,
            teacher=teacher,
            assistants=assistants,
            before=flow.student_scorer(flow.folder.student_before, BEFORE),
            student=flow.student_scorer(standing.best, STUDENT),
            standing=standing,
            num_iterations=self.args.num_iterations,
            settings={
                "seed": self.args.seed,
                "depth": self.args.eval_depth,
                "device": str(self.args.device),
                "precision": "bf16" if self.args.bf16 else "fp32",
            },
        )

    def push_to_hub(
        self,
        repo_id: str | None = None,
        token: str | None = None,
        private: bool | None = None,
        commit_message: str | None = None,
        exist_ok: bool = True,
        replace_model_card: bool = False,
        revision: str | None = None,
        create_pr: bool = False,
    ) -> str:
        """Publishes the student with its card and the run's evidence, as ``st-mta push`` does.

        Args:
            repo_id: owner/name; by default ``args.hub_model_id``.
            token: Of the Hub; by default ``args.hub_token`` or the one this machine is logged in with.
            private: Whether a new repository is private; by default ``args.hub_private_repo``.
            commit_message: Of the one commit.
            exist_ok: Whether the repository may exist, so that an interrupted push can be repeated.
            replace_model_card: Whether a card that is already there is replaced.
            revision: Branch, made if missing; main by default.
            create_pr: Whether to open a pull request instead.

        Returns:
            The address of the commit or pull request.

        Raises:
            InputError: If the run is not finished, or the Hub does not take it.
        """
        return push_run(
            Path(self.args.output_dir),
            repo_id or self.args.hub_model_id or "",
            message=commit_message,
            token=token or self.args.hub_token,
            private=self.args.hub_private_repo if private is None else private,
            exist_ok=exist_ok,
            replace_card=replace_model_card,
            revision=revision,
            create_pr=create_pr,
        )


def default_loss(args: MultiAssistantTrainingArguments) -> LossFactory:
    """[`ListwiseKLLoss`] with the weights that the arguments name."""

    def make(student: SentenceTransformer, targets: AssistantTargets) -> nn.Module:
        _, contrastive_scale = resolve_similarity(student, None, args.scale)
        return ListwiseKLLoss(
            student,
            targets=targets,
            scale=targets.student_scale or args.scale,
            contrastive_scale=contrastive_scale,
            alpha=targets.alpha,
            contrastive_weight=args.contrastive_weight,
            regression_weight=args.regression_weight or 0.0,
            return_components=True,
        )

    return make


def _refuse_several_processes(args: MultiAssistantTrainingArguments) -> None:
    if args.world_size == 1:
        return
    raise InputError(
        expected="one process",
        got=f"{args.world_size} processes",
        consequence="the stations between the trainings would wait for each other for ever",
        remedy="start it without torchrun or accelerate launch; ListwiseKLLoss alone does run under both",
    )


def _refuse_teacher_as_student(student: SentenceTransformer, pool: AssistantPool) -> None:
    if BiEncoderScorer(student, name=STUDENT).fingerprint != pool.teacher.fingerprint:
        return
    raise InputError(
        expected="a student that is not its own teacher",
        got=f"the same model as teacher ({pool.teacher.name!r}) and student",
        consequence="the student would learn what it already knows",
        remedy="keep fewer layers of it (--student-layers 0 2 5, prune_layers), or name another student",
    )
