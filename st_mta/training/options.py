"""The options of the method, each written once: the trainer's arguments and the command line are made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from st_mta.assistants.calibration import CALIBRATIONS
from st_mta.assistants.fusion import check_fusion
from st_mta.assistants.selection import check_selection
from st_mta.checked import check_fields
from st_mta.errors import InputError
from st_mta.filters import DynamicFilter
from st_mta.losses.by_name import LOSSES, check_loss, check_objective
from st_mta.losses.embedding.spaces import MAPS, PROCRUSTES
from st_mta.losses.embedding.terms import check_terms
from st_mta.losses.objectives import OBJECTIVES
from st_mta.losses.query_weights import QUERY_WEIGHTS
from st_mta.losses.scope import LIST, SCOPES
from st_mta.options import option
from st_mta.ranges import NOT_NEGATIVE, POSITIVE, PROPER_SHARE, SEED, SHARE, check_ranks, count_from
from st_mta.training.regression_weights import CHOOSERS, SCHEDULED, SELECTED

SIMILARITY = "similarity"
SIMILARITY_MARGIN = 0.15
"""Below 1, a positive's own: precision of at least .8 on all five collections of benchmarks/filter."""

FLOW, CANDIDATES, WARM_UP = "Iterations", "Queries and candidates", "Warm-up and regression"
TARGETS, LOSS, STEPS, MACHINE = "Teacher and assistants", "Loss", "Training", "Machine and evaluation"


@dataclass(kw_only=True)
class MethodOptions:
    """Options of a distillation; ``num_train_epochs``, ``learning_rate`` and the like describe *one iteration*."""

    num_iterations: int = option(
        3, within=count_from(1), group=FLOW, basic=True, help="Iterations of mine, score, train, evaluate, promote."
    )
    patience: int | None = option(
        1,
        within=count_from(1),
        group=FLOW,
        help="Stop after this many iterations without improvement on dev; None never stops early.",
    )
    curriculum: str = option(
        "all",
        group=FLOW,
        choices=("all", "wrong", "weighted", "none"),
        help="How queries become harder from the second iteration on: all of them and once more those whose best "
        "passage the student got wrong, only the wrong ones, drawn with a probability that grows with the error "
        "1 - 1 / rank of the first positive, or not at all.",
    )
    queries_per_iteration: int | None = option(
        None,
        within=count_from(1),
        group=CANDIDATES,
        help="Training queries drawn for an iteration; None takes all.",
    )
    num_candidates: int | None = option(
        None,
        within=count_from(2),
        group=CANDIDATES,
        help="Passages per query at most, the positives among them. None is 16; with a file or dataset of scores as "
        "teacher it takes all that this has scored, up to 64.",
    )
    range_min: int = option(
        0, within=count_from(0), group=CANDIDATES, help="Retrieved passages skipped from the top when sampling."
    )
    range_max: int = option(
        100, within=count_from(1), group=CANDIDATES, help="Depth to which every retriever is searched."
    )
    sampling_strategy: str = option(
        "stratified",
        group=CANDIDATES,
        choices=("top", "random", "stratified"),
        help="How a retriever's candidates are taken from its ranks.",
    )
    filter_false_negatives: str | None = option(
        None,
        group=CANDIDATES,
        choices=(None, "relative", "absolute", SIMILARITY),
        help="Drop negatives that the teacher scores above the positive less a margin, relative to the positive's "
        "score or absolute in logits, or whose similarity (the cosine of the best bi-encoder at hand) to a positive "
        "is above 1 less a margin. With candidates in-batch this filters the batch's other passages too.",
    )
    filter_margins: list[float] | None = option(
        None,
        group=CANDIDATES,
        help="That margin for each iteration, the last for all that follow; negative ones filter less. None is 0, and "
        "0.15 for similarity.",
    )
    relabel: float | None = option(
        None,
        within=NOT_NEGATIVE,
        group=CANDIDATES,
        help="Where the teacher scores a candidate above every labelled positive by more than this margin (in its raw "
        "scores), take the candidate as the positive of the list; the labelled ones stay in it. None believes the "
        "labels.",
    )
    num_crops: int = option(
        4000,
        within=count_from(1),
        group=CANDIDATES,
        help="Training queries cropped from passages where the collection brings none, or made by query_generator.",
    )
    query_generator: str | None = option(
        None,
        group=CANDIDATES,
        help="Make training queries from passages, besides those of the collection: a sequence-to-sequence model (a "
        "folder or Hub id), your own module:function (passages -> a list of queries for each), or a file of generated "
        "queries (.jsonl, .tsv, .parquet with passage id and query).",
    )
    query_generator_options: dict[str, Any] | None = option(
        None,
        group=CANDIDATES,
        help="How that model generates, as JSON: prompt (with {passage} in it), beams, temperature, top_k, top_p, "
        "max_new_tokens, max_length, batch_size. None samples with top_k 25 and top_p 0.95.",
    )
    queries_per_passage: int | None = option(
        None, within=count_from(1), group=CANDIDATES, help="Queries generated from a passage at most; None is 3."
    )
    round_trip: int | None = option(
        None,
        within=count_from(0),
        group=CANDIDATES,
        help="Keep a generated query only where its passage is among so many that round_trip_with finds; 0 keeps all, "
        "None is 20.",
    )
    round_trip_with: str | None = option(
        None, group=CANDIDATES, help="The retriever for that, named like an assistant; None is bm25."
    )
    windows: int | None = option(
        None,
        within=count_from(1),
        group=CANDIDATES,
        help="Cut every document into windows of so many words, for teacher, assistants and student; documents are "
        "ranked and judged, each by its best window (MaxP). None reads passages as they are.",
    )
    window_stride: int | None = option(
        None,
        within=count_from(1),
        group=CANDIDATES,
        help="Words from the beginning of a window to that of the next; None is half a window.",
    )
    best_windows: int | None = option(
        None,
        within=count_from(1),
        group=CANDIDATES,
        help="A document's score is the sum of those of so many of its windows, the best ones; None is 1.",
    )
    regression_epochs: float = option(
        2.0,
        within=NOT_NEGATIVE,
        group=WARM_UP,
        help="Passes of the warm-up, which regresses the student's embeddings to those of a bi-encoder; 0 leaves it "
        "out.",
    )
    regression_terms: dict[str, float] | None = option(
        None,
        group=WARM_UP,
        help="What the regression is made of, as JSON: the words cosine, mse, l2, gram (the batch's similarities), "
        'relative (their order) and spread with their weights. None is {"cosine": 1}.',
    )
    regression_texts: str | None = option(
        None,
        group=WARM_UP,
        help="Further texts for the warm-up, without labels: a file or folder of .txt (a text per line), .jsonl, .csv "
        "or .parquet, or a Hub data set.",
    )
    regression_learning_rate: float = option(
        1e-3, within=POSITIVE, group=WARM_UP, help="Peak learning rate of the warm-up."
    )
    regression_batch_size: int = option(32, within=count_from(1), group=WARM_UP, help="Texts per step of the warm-up.")
    regression_max_texts: int = option(
        200_000, within=count_from(1), group=WARM_UP, help="Texts per pass of the warm-up at most (a seeded sample)."
    )
    regression_weight: float | None = option(
        None,
        within=NOT_NEGATIVE,
        group=WARM_UP,
        help="Weight of the same regression in every iteration. None takes 3 where a bi-encoder is at hand and the "
        "loss can use it, else 0.",
    )
    regression_to: str = option(
        "best",
        group=WARM_UP,
        choices=tuple(CHOOSERS),
        help="Whose embeddings the student is regressed to: the best bi-encoder's on dev; those of all side by side; "
        "side by side with weights fitted on dev, where that is better on dev than the best; scheduled, in the "
        "warm-up from the one nearest to the student to all together; or selected, in each batch of lists the one "
        "closest to the teacher there.",
    )
    regression_map: str = option(
        PROCRUSTES,
        group=WARM_UP,
        choices=MAPS,
        help="How embeddings of another width or space become the student's: by their principal directions rotated to "
        "the student's family (or the untrained student), by a layer on the student's side that is learned or kept "
        "orthogonal, or not at all, which leaves bi-encoders of the student's width.",
    )
    calibration: str = option(
        "temperature",
        group=TARGETS,
        choices=tuple(CALIBRATIONS),
        help="How scorers are brought to one scale: by the same mean entropy, by the same after standardising each "
        "query's scores, or by the line that predicts the teacher's logits best.",
    )
    target_entropy: float = option(
        0.5,
        within=PROPER_SHARE,
        group=TARGETS,
        help="Mean entropy to which temperatures are fitted, as a share of that of a uniform distribution.",
    )
    fusion: str = option(
        "mean",
        group=TARGETS,
        help="How assistants are combined: mean, rrf, weighted (weights fitted on dev) or your own module:function.",
    )
    combinations: str = option(
        "all",
        group=TARGETS,
        choices=("all", "pairs", "none"),
        help="Which combinations of assistants compete for selection.",
    )
    selection: str = option(
        "kl",
        group=TARGETS,
        help="Closeness to the teacher: kl, footrule, rbo or your own module:function; bandit learns from the "
        "student's progress which of the three to use.",
    )
    select_per: str = option(
        "batch", group=TARGETS, choices=("batch", "query"), help="Select one assistant per batch or per query."
    )
    teacher_learns: str | None = option(
        None,
        group=TARGETS,
        choices=(None, "stage"),
        help="Train the teacher too, a cross-encoder: from the second iteration on, before it scores, on the "
        "student's distributions over the new lists and on the judgements. It is taken where it is not worse on dev.",
    )
    teacher_learning_rate: float | None = option(
        None, within=POSITIVE, group=TARGETS, help="Peak learning rate of a teacher that learns; None is 1e-5."
    )
    alpha: float | None = option(
        None,
        within=SHARE,
        group=TARGETS,
        help="Weight of the teacher; the selected assistant weighs 1 - alpha. None takes 1 where the teacher is "
        "better on dev than every assistant, else 0.5; assistants mine and are regressed to in either case.",
    )
    alpha_end: float | None = option(
        None,
        within=SHARE,
        group=TARGETS,
        help="Value that alpha moves to, linearly over the run; None leaves it where it is.",
    )
    loss: str = option(
        "kl",
        group=LOSS,
        help=f"What the student minimises: {', '.join(LOSSES)}, or your own module:function.",
    )
    loss_options: dict[str, Any] | None = option(
        None,
        group=LOSS,
        help="Further options of that loss by their names, as JSON, or as a section of the YAML file: for multi-level "
        '\'{"word": ["attention"], "word_weight": 0.1, "layers": "last"}\'.',
    )
    objective: str | None = option(
        None,
        group=LOSS,
        help="What the loss compares the student's scores of a list with its targets by: "
        f"{', '.join(OBJECTIVES)}, or your own module:function. None is that of the loss: kl, or the one it is named "
        "after.",
    )
    objective_options: dict[str, Any] | None = option(
        None,
        group=LOSS,
        help="Options of that objective by their names, as JSON, or as a section of the YAML file: for plackett-luce "
        '\'{"order": "positives-first", "weights": "confidence"}\'.',
    )
    query_weights: str | None = option(
        None,
        group=LOSS,
        help=f"How much each query weighs in what is imitated: {', '.join(QUERY_WEIGHTS)} (confidence: more where the "
        "teacher is sure; error: more where the student gives the positives little), or your own module:function. "
        "None is uniform.",
    )
    contrastive_weight: float = option(
        0.1, within=NOT_NEGATIVE, group=LOSS, help="Weight of the in-batch contrastive term on the positives."
    )
    candidates: str = option(
        LIST,
        group=LOSS,
        choices=SCOPES,
        help="Over which passages teacher and student are compared: those of each query's own list, or all of the "
        "batch (in-batch, as TCT-ColBERT does; the teacher is then a bi-encoder or late-interaction model, alone).",
    )
    exits: list[int] | None = option(
        None,
        within=count_from(1),
        group=LOSS,
        help="Train the student's first so many layers as students of their own too, each led by the next larger one "
        "(MoSE): 1 3 keeps two, beside the student in exits/. None trains the whole student alone.",
    )
    scale: float | None = option(
        None,
        within=POSITIVE,
        group=LOSS,
        help="Factor on the student's similarities. None fits it before each training, so that the student's "
        "distributions have the target entropy too.",
    )
    num_train_epochs: float = option(
        1.0,
        within=POSITIVE,
        group=STEPS,
        basic=True,
        aliases=("--epochs",),
        help="Passes over the queries of an iteration.",
    )
    per_device_train_batch_size: int = option(
        32,
        within=count_from(1),
        group=STEPS,
        basic=True,
        aliases=("--batch-size",),
        help="Queries per training step of a process.",
    )
    learning_rate: float = option(
        1e-4, within=POSITIVE, group=STEPS, basic=True, help="Peak learning rate of an iteration."
    )
    batches: str = option(
        "shuffled",
        group=STEPS,
        choices=("shuffled", "sharing"),
        help="Which queries train together: any, or those whose lists share passages. A shared passage goes through "
        "the student once, so that steps are cheaper; the contrastive term then has fewer and harder negatives.",
    )
    dropout: float | None = option(
        0.0, within=SHARE, group=STEPS, help="Dropout of the student in training; None leaves the model's own."
    )
    max_length: int | None = option(
        None,
        within=count_from(1),
        group=STEPS,
        help="Tokens per text for the student and for models given by name; None leaves each model's own limit.",
    )
    documents_per_forward: int | None = option(
        None,
        within=count_from(1),
        group=MACHINE,
        help="Passages per forward pass of the student within a step, sorted by length so that little is padded; None "
        "takes everything at once, and 32 on a CPU for a student that cannot do without padding.",
    )
    mini_batch_size: int | None = option(
        None,
        within=count_from(1),
        group=MACHINE,
        help="Texts in memory at once within a step, whatever the batch: every text passes through the student a "
        "second time, and the gradients are those of the whole batch. None takes everything at once.",
    )
    precision: str = option(
        "auto",
        group=MACHINE,
        choices=("auto", "fp32", "bf16"),
        help="Number format of training and scorers; auto is bf16 where the machine multiplies it faster.",
    )
    eval_depth: int = option(
        100, within=count_from(1), group=MACHINE, help="Passages retrieved per query for evaluation."
    )
    max_eval_queries: int = option(500, within=count_from(1), group=MACHINE, help="Development queries used at most.")
    seed: int = option(42, within=SEED, group=MACHINE, basic=True, help="Seed of everything random.")

    def __post_init__(self) -> None:
        check_fields(self)
        check_ranks(self.range_min, self.range_max)
        self._check_functions()
        self._check_filter()
        self._check_generation()
        self._check_windows()
        self._check_regression()
        self._check_teacher()
        if (parent := getattr(super(), "__post_init__", None)) is not None:  # the host's arguments
            parent()

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
                remedy="set filter_false_negatives, or leave the margins out",
            )

    def _check_generation(self) -> None:
        names = ("query_generator_options", "queries_per_passage", "round_trip", "round_trip_with")
        given = [name for name in names if getattr(self, name) is not None]
        if self.query_generator is None and given:
            raise InputError(
                expected="query_generator to say what makes the queries",
                got=f"{given[0]}={getattr(self, given[0])!r} and no query_generator",
                remedy=f"set query_generator, or leave {given[0]} out",
            )

    def _check_windows(self) -> None:
        given = [name for name in ("window_stride", "best_windows") if getattr(self, name) is not None]
        if self.windows is None and given:
            raise InputError(
                expected="windows to say how many words a window has",
                got=f"{given[0]}={getattr(self, given[0])} and no windows",
                remedy=f"set windows, or leave {given[0]} out",
            )
        if self.windows is not None and (self.window_stride or 1) > self.windows:
            raise InputError(
                expected=f"a window_stride of at most {self.windows}, the words of a window",
                got=str(self.window_stride),
                consequence="words between two windows would never be read",
                remedy="choose a smaller stride",
            )

    def _check_regression(self) -> None:
        if self.regression_terms is not None:
            check_terms(self.regression_terms)
        one_at_a_time = self.regression_to in (SCHEDULED, SELECTED) and self.regression_map != PROCRUSTES
        if one_at_a_time or (self.regression_to != "best" and self.regression_map == "none"):
            raise InputError(
                expected=f"regression_map={PROCRUSTES!r} for regression_to={self.regression_to!r}",
                got=repr(self.regression_map),
                consequence="side by side the bi-encoders are wider than the student",
                remedy="leave regression_map out",
            )

    def _check_teacher(self) -> None:
        if self.teacher_learns is None and self.teacher_learning_rate is not None:
            raise InputError(
                expected="teacher_learns='stage' beside a teacher_learning_rate",
                got=f"teacher_learning_rate={self.teacher_learning_rate} and a teacher that stays as it is",
                remedy="set teacher_learns, or leave the rate out",
            )

    def _check_functions(self) -> None:
        check_fusion(self.fusion)
        check_selection(self.selection)
        check_loss(self.loss)
        # Options alone are those of the loss's own objective, and the loss may be given elsewhere.
        options = None if self.objective is None else self.objective_options
        check_objective(self.loss, self.objective, options, self.query_weights)
