"""The arguments of a distillation: the host's training arguments and those of the method."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

from st_mta.assistants.by_name import check_fusion, check_selection
from st_mta.assistants.calibration import CALIBRATIONS
from st_mta.errors import InputError
from st_mta.filters import DynamicFilter

SIMILARITY = "similarity"
SIMILARITY_MARGIN = 0.15
"""Below 1, a positive's own: precision of at least .8 on all five collections of benchmarks/filter."""


@dataclass
class MultiAssistantTrainingArguments(SentenceTransformerTrainingArguments):
    """Arguments of [`MultiAssistantTrainer`]; everything of the host's arguments stays available.

    The host's ``num_train_epochs``, ``max_steps``, ``learning_rate`` and the rest describe *one iteration*.

    Args:
        num_iterations: Iterations of mine, score, train, evaluate, promote.
        patience: The run ends after so many iterations in a row that did not improve on the best student so far on
            the development split; None never ends it early.
        num_candidates: Passages per query, the positives among them.
        range_min: Retrieved passages skipped from the top when candidates are sampled.
        range_max: Depth to which every retriever is searched.
        sampling_strategy: How a retriever's candidates are taken from its ranks: "top", "random" or "stratified".
        queries_per_iteration: Training queries drawn for an iteration; None means all.
        hard_queries: Whether queries become harder from the second iteration on, as ``curriculum`` says; False draws
            every iteration's queries alike.
        curriculum: What harder means: "all" takes a sample of all queries, and those whose best passage the student
            got wrong once more; "wrong" only such queries (all again where there is none); "weighted" draws queries
            with a probability that grows with the student's error, 1 - 1 / rank of the first positive.
        filter_false_negatives: Whether a negative leaves the list as a likely false negative: where the teacher scores
            it above the query's positive less a "relative" margin (share of the positive's score) or an "absolute" one
            (in the teacher's logits), or where its "similarity" to a positive is above 1 less a margin (cosine of the
            best bi-encoder at hand, the student's where there is none); None for no filter.
        filter_margins: That margin for each iteration, the last for all that follow; negative ones filter less. None
            is 0, and 0.15 for "similarity", which in benchmarks/filter was right in at least four cases of five.
        num_crops: Training queries cropped from passages where the collection brings none.
        calibration: How the scorers are brought to one scale before anything is fused: "temperature" gives every
            scorer's distributions the same mean entropy, "zscore" the same after standardising each query's scores,
            "affine" gives every assistant the line that predicts the teacher's logits best.
        fusion: How assistants are combined: "mean", "rrf", "weighted" (a mean with weights fitted on the development
            split), or your own function as "module:function".
        combinations: Which combinations are candidates for selection: "all", "pairs" or "none".
        selection: Closeness of a (fused) assistant to the teacher: "kl", "footrule", "rbo", or your own function as
            "module:function".
        select_per: Whether one assistant is selected for a whole "batch" or for each "query".
        target_entropy: The mean entropy to which temperatures are fitted (under "affine" only the teacher's), as a
            share of the entropy of a uniform distribution.
        alpha: Weight of the teacher; the selected assistant weighs 1 - alpha. None takes 1 where the teacher is better
            on the development split than every assistant, whose distributions then add nothing that could be measured
            (benchmarks/assistants), and 0.5 where it is not. Assistants mine and are regressed to in either case.
        alpha_end: Where alpha goes, linearly over all steps of all iterations; None leaves it where it is.
        contrastive_weight: Weight of the in-batch contrastive term on the positives.
        scale: Factor on the student's similarities. None fits it before each training, so that the student's
            distributions over the candidates have the target entropy too, and takes 20 for cosine and 1 for dot
            product in the contrastive term.
        regression_epochs: Passes over the text in the warm-up that regresses the student's embeddings to the best
            bi-encoder assistant; 0 leaves it out.
        regression_learning_rate: Peak learning rate of that warm-up.
        regression_batch_size: Texts per step of that warm-up.
        regression_max_texts: At most so many texts per pass (a seeded sample).
        regression_weight: Weight, in the loss of every iteration, of regressing the student's embeddings to those of
            the same assistant; 0 leaves it to the warm-up; None takes 3 where such an assistant is at hand and the
            loss is st_mta's own, else 0.
        dropout: Dropout of the student in training; 0 by default, which is faster, and the teacher's soft targets
            regularise; None leaves the model's own.
        max_length: Tokens per text for the student and for models given by name; None leaves each model's own limit.
        precision: "auto" (bf16 where the machine multiplies it faster), "fp32" or "bf16".
        documents_per_forward: Passages per forward pass of the student within a step, sorted by length so that
            little is padded; None takes 32 on a CPU and everything at once elsewhere.
        eval_depth: Passages retrieved per query for evaluation.
        max_eval_queries: Development queries used at most between iterations.
    """

    num_iterations: int = 3
    patience: int | None = 1
    num_candidates: int = 16
    range_min: int = 0
    range_max: int = 100
    sampling_strategy: str = "stratified"
    queries_per_iteration: int | None = None
    hard_queries: bool = True
    curriculum: str = "all"
    filter_false_negatives: str | None = None
    filter_margins: list[float] | None = None
    num_crops: int = 4000
    calibration: str = "temperature"
    fusion: str = "mean"
    combinations: str = "all"
    selection: str = "kl"
    select_per: str = "batch"
    target_entropy: float = 0.5
    alpha: float | None = None
    alpha_end: float | None = None
    contrastive_weight: float = 0.1
    scale: float | None = None
    regression_epochs: float = 2.0
    regression_learning_rate: float = 1e-3
    regression_batch_size: int = 32
    regression_max_texts: int = 200_000
    regression_weight: float | None = None
    dropout: float | None = 0.0
    max_length: int | None = None
    precision: str = "auto"
    documents_per_forward: int | None = None
    eval_depth: int = 100
    max_eval_queries: int = 500
    # Defaults of the host that differ: a batch is a set of queries, each with its whole list of candidates.
    per_device_train_batch_size: int = 32
    learning_rate: float = 1e-4
    num_train_epochs: float = 1.0
    logging_steps: float = 10
    save_steps: float = 50
    save_total_limit: int | None = 1
    report_to: None | str | list[str] = "none"
    seed: int = field(default=42)

    def __post_init__(self) -> None:
        self._check_positive()
        self._check_choices()
        self._check_filter()
        super().__post_init__()

    def false_negative_filter(self) -> DynamicFilter | None:
        """The filter between scoring and training, or None."""
        strategy, margins = self.filter_false_negatives, self.filter_margins
        if strategy is None:
            return None
        if strategy == "relative":
            return DynamicFilter(relative_margin=0.0 if margins is None else margins)
        default = SIMILARITY_MARGIN if strategy == SIMILARITY else 0.0
        return DynamicFilter(absolute_margin=default if margins is None else margins)

    def _check_filter(self) -> None:
        self.false_negative_filter()
        if self.filter_false_negatives is None and self.filter_margins is not None:
            raise InputError(
                expected="filter_false_negatives to say what the margins are: 'relative', 'absolute' or 'similarity'",
                got=f"filter_margins={self.filter_margins} and no filter",
                consequence="the margins would have no effect",
                remedy="set filter_false_negatives, or leave the margins out",
            )

    def _check_positive(self) -> None:
        least = {"num_iterations": 1, "num_candidates": 2, "range_max": 1, "num_crops": 1, "eval_depth": 1}
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                raise _out_of_range(name, f"at least {minimum}", getattr(self, name))
        if self.patience is not None and self.patience < 1:
            raise _out_of_range("patience", "at least 1, or None", self.patience)
        for name in ("alpha", "alpha_end", "target_entropy"):
            value = getattr(self, name)
            if value is None and name != "target_entropy":
                continue
            if not 0 <= value <= 1 or (name == "target_entropy" and value in (0, 1)):
                raise _out_of_range(name, "between 0 and 1", value)
        if self.regression_weight is not None and not 0 <= self.regression_weight < math.inf:
            raise _out_of_range("regression_weight", "at least 0 and finite", self.regression_weight)
        if not 0 <= self.range_min < self.range_max:
            raise _out_of_range("range_min", f"between 0 and range_max - 1 = {self.range_max - 1}", self.range_min)

    def _check_choices(self) -> None:
        choices = {
            "curriculum": ("all", "wrong", "weighted"),
            "calibration": CALIBRATIONS,
            "combinations": ("all", "pairs", "none"),
            "select_per": ("batch", "query"),
            "sampling_strategy": ("top", "random", "stratified"),
            "precision": ("auto", "fp32", "bf16"),
            "filter_false_negatives": (None, "relative", "absolute", SIMILARITY),
        }
        check_fusion(self.fusion)
        check_selection(self.selection)
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise _out_of_range(name, " or ".join(map(repr, allowed)), getattr(self, name))


def _out_of_range(name: str, expected: str, value: object) -> InputError:
    return InputError(
        expected=f"{name} {expected}",
        got=repr(value),
        consequence="the run would stop or learn nothing later on",
        remedy=f"change {name}",
    )
