"""Listwise distillation: the student's distribution over a query's candidates follows teacher and assistants."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from sentence_transformers.sentence_transformer import SentenceTransformer
from sentence_transformers.util import similarity_fct_name
from torch import Tensor, nn

from st_mta.citations import MTA4DPR
from st_mta.filters import DynamicFilter
from st_mta.lookup import word_of
from st_mta.losses.batch import Labels, ListwiseBatch
from st_mta.losses.comparison import Comparison, comparison
from st_mta.losses.embedding.in_lists import list_terms
from st_mta.losses.embedding.spaces import EmbeddingSpaces
from st_mta.losses.embedding.terms import check_terms
from st_mta.losses.inspection import warn_if_mismatched, warn_if_narrow
from st_mta.losses.list_loss import ListLoss, total
from st_mta.losses.list_targets import Targets, described, load_state, log_probs_of, show_targets, state_of
from st_mta.losses.objectives import Objective
from st_mta.losses.pool import Pool, pool_of
from st_mta.losses.query_weights import UNIFORM, QueryWeights
from st_mta.losses.regression import embedding_regression
from st_mta.losses.scope import LIST, check_scope, label_of_scope, lists_of_scope, refuse_cut_label
from st_mta.losses.shares import BatchShares
from st_mta.losses.similarity import Similarity, check_range, mean_over, resolve_similarity, student_logits


class ListwiseKLLoss(ListLoss):
    """Makes a student rank each query's candidates as its teacher and its assistants do.

    Implements the loss of MTA4DPR (Lu et al., EMNLP 2024), with p softmax distributions over a query's candidates:

        alpha * KL(p_teacher || p_student) + (1 - alpha) * KL(p_assistant || p_student)
        + contrastive_weight * InfoNCE + regression_weight * cosine distance to a bi-encoder's embeddings

    Deviations: another ``objective`` may take the place of KL; with several other targets the second term is their
    mean, and without any the first has weight 1; both are means over the queries with at least two valid
    candidates, InfoNCE over those of them with a positive; a batch without such a query gives zero. The last term,
    embedding regression, is not in the paper: the mean over all queries of the batch plus the mean over all documents.
    It does not score anything: scores come as labels.

    Args:
        model: The student.
        targets: Turns raw scores (B, S, N) and a mask (B, N) into log-probabilities (B, T, N), the teacher's
            first, for instance ``AssistantTargets``. Default: every scorer's softmax at ``teacher_temperature``.
        similarity_fct: Matrix similarity of (B, D) and (U, D), such as the host's ``cos_sim`` and ``dot_score``.
            Default: the model's own.
        scale: Factor of the student's similarities. Default 20.0 for cosine, since cosines alone cannot follow a
            sharp teacher, and 1.0 otherwise. Where it makes the student sharper or flatter than its targets from the
            start, the loss mostly teaches it to be less so; 1 / ``fit_temperature`` of its similarities prevents that.
        teacher_temperature: Divides every scorer's raw scores; unused with ``targets``.
        objective: What compares the student with a target: a word of ``OBJECTIVES``, or a function
            ``(student_logits (..., N), target_log_probs (..., N), mask (..., N)) -> (...)``, itself or as
            "module:function". Masked candidates have target -inf and a meaningless logit. Default "kl"; see
            ``st_mta.losses.objectives``.
        objective_options: Its options by their names, such as {"weights": "confidence", "top": 4}.
        query_weights: How much each query weighs in what is imitated, with mean 1 over a batch: "uniform";
            "confidence", more where the teacher is sure; "error", more where the student gives the positives little;
            or a function ``(student_logits, target_log_probs, mask, positive), all (B, N) -> (B,)``, itself or as
            "module:function".
        alpha: Weight of the teacher against the other targets, in [0, 1]; 0.5 weighs both alike.
        contrastive_weight: Weight of InfoNCE over the batch's documents; 0 leaves it out.
        contrastive_scale: Factor of the student's similarities in InfoNCE. Default: ``scale``.
        regression_weight: Weight of embedding regression to the "query_targets" and "document_targets" of the label,
            which only the flat form has; 0 leaves it out.
        regression_terms: What it is made of: words of ``st_mta.losses.embedding.TERMS`` with their weights. Default:
            the cosine distance.
        regression_map: Between the student's space and that of the targets, trained along where its kind is; None
            where the targets are in the student's space.
        candidates: "list" compares the candidates of each query's own list; "in-batch" compares all passages of the
            batch, as TCT-ColBERT does (Lin et al., 2020, https://arxiv.org/abs/2010.11386). Targets are then the
            teacher's alone, from what the label says of it; list scores only say which candidates are missing.
        in_batch_filter: Of "in-batch": passages that the teacher scores above its threshold are likely false
            negatives, and no candidates. Its schedule follows ``iteration`` (see ``FilterSchedule``).
        gather_across_devices: Whether, where several processes train together, the documents of all of them are
            InfoNCE's negatives and "in-batch" candidates, and are compared by terms over the batch, as in the host's
            losses. Set where batches of N processes are to be worth one that is N times as large.
        return_components: Whether ``forward`` returns a dictionary of the terms, already weighted, for the
            trainer to log: "kl_teacher", and where they exist "kl_assistant", "contrastive" and "regression"; the
            first two are called by their objective.
            Wrappers such as ``MatryoshkaLoss`` need the default, their sum.
        divergence: The former name of ``objective``.

    Inputs:
        +------------------------------------------------+-----------------------------------------------------+
        | Inputs                                         | Labels                                              |
        +================================================+=====================================================+
        | (query, positive, negative_1, ..., negative_n) | (B, N) raw scores of one teacher                    |
        +------------------------------------------------+-----------------------------------------------------+
        | (query, positive, negative_1, ..., negative_n) | (B, S, N) raw scores, scorer 0 is the teacher       |
        +------------------------------------------------+-----------------------------------------------------+
        | (query, documents, ...): the batch's distinct  | {"scores": (B, S, N), "index": (B, N) counting      |
        | passages in one or several columns             | through the documents, -1 for padding,              |
        |                                                | "positive": (B, N) bool}; with regression_weight    |
        |                                                | also "query_targets": (B, D) and                    |
        |                                                | "document_targets": (U, D)                          |
        +------------------------------------------------+-----------------------------------------------------+

        N >= 2. A score that is NaN or -inf in any scorer marks a missing candidate; a passage that is missing
        wherever it is listed is no query's negative either. Both forms give the same value, but only the flat one
        knows that two queries share a passage, which matters to InfoNCE; with "document_ids": (U,), numbers that are
        the same for the same passage in all processes, also that two processes do. With "document_groups": (U,), the
        same number for passages that are judged as one, such as windows of a document, what is in a group with a
        query's positive is none of its negatives, in whichever process it is. What labels hold with
        candidates="in-batch" is described in ``st_mta.losses.scope``.

        Means over queries are over those of all processes that train together.

    Raises:
        InputError: If an argument is out of range, there is no such objective or it returns another shape than it
            should, or there is a regression_weight and nothing to regress to.

    Example:
        ::

            columns = {"query": [...], "positive": [...], "negative": [...], "label": [[8.1, -3.0], ...]}
            dataset = Dataset.from_dict(columns)
            trainer = SentenceTransformerTrainer(model=model, train_dataset=dataset, loss=ListwiseKLLoss(model))
    """

    citation: str = MTA4DPR
    targets: Targets | None
    candidates = LIST
    in_batch_filter: DynamicFilter | None = None
    iteration = 0
    gather_across_devices = False
    query_weights: str | QueryWeights = UNIFORM
    _comparison: Comparison

    def __init__(
        self,
        model: SentenceTransformer,
        *,
        targets: Targets | None = None,
        similarity_fct: Similarity | None = None,
        scale: float | None = None,
        teacher_temperature: float = 1.0,
        objective: str | Objective | None = None,
        objective_options: Mapping[str, Any] | None = None,
        query_weights: str | QueryWeights = UNIFORM,
        alpha: float = 0.5,
        contrastive_weight: float = 0.0,
        contrastive_scale: float | None = None,
        regression_weight: float = 0.0,
        regression_terms: Mapping[str, float] | None = None,
        regression_map: EmbeddingSpaces | None = None,
        candidates: str = LIST,
        in_batch_filter: DynamicFilter | None = None,
        gather_across_devices: bool = False,
        return_components: bool = False,
        divergence: str | Objective | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.regression_terms = None if regression_terms is None else check_terms(regression_terms)
        self.regression_map = regression_map
        self.similarity_fct, self.scale = resolve_similarity(model, similarity_fct, scale)
        self.teacher_temperature = teacher_temperature
        self.contrastive_weight = contrastive_weight
        self.contrastive_scale = self.scale if contrastive_scale is None else contrastive_scale
        self.regression_weight = regression_weight
        # Set only where they differ: plain attributes tell one loss from another.
        if (scope := check_scope(candidates, in_batch_filter)) != LIST:
            self.candidates, self.in_batch_filter = scope, in_batch_filter
        if gather_across_devices:
            self.gather_across_devices = True
        self.return_components = return_components
        # Past nn.Module's registration: whatever makes the targets is frozen and no part of the student's optimizer.
        object.__setattr__(self, "targets", targets)
        self._compare_by(comparison(objective, objective_options, query_weights, divergence=divergence))
        self.alpha = 1.0 if self.of_teacher_alone else alpha
        check_range("teacher_temperature", teacher_temperature, 0 < teacher_temperature < math.inf, "positive")
        check_range("alpha", alpha, 0 <= alpha <= 1, "between 0 and 1")
        check_range("contrastive_weight", contrastive_weight, 0 <= contrastive_weight < math.inf, "at least 0")
        check_range("contrastive_scale", self.contrastive_scale, 0 < self.contrastive_scale < math.inf, "positive")
        check_range("regression_weight", regression_weight, 0 <= regression_weight < math.inf, "at least 0")

    def _compare_by(self, comparison: Comparison) -> None:
        object.__setattr__(self, "_comparison", comparison)
        named = comparison.objective.named
        self.objective = word_of(named) if isinstance(named, nn.Module) else named
        # What is at its default is no attribute: attributes tell one run from another.
        if comparison.objective.options:
            self.objective_options = dict(comparison.objective.options)
        if comparison.weigh is not None:
            self.query_weights = comparison.query_weights
        if comparison.learned is not None:
            self.learned_objective = comparison.learned

    def _embed(self, sentence_features: Iterable[dict[str, Tensor]], labels: Labels | None) -> list[Tensor]:
        embeddings = super()._embed(sentence_features, labels)
        refuse_cut_label(self.candidates, self.model, embeddings, labels)
        return embeddings

    def _components(self, embeddings: list[Tensor], labels: Labels | None) -> dict[str, Tensor]:
        first = not self._inspected
        labels = label_of_scope(self.candidates, embeddings, labels)
        batch = self._read(embeddings, labels, by_list=self.candidates == LIST)
        lists, shares = self._lists(batch, labels)
        terms = self._compare(lists, shares, first=first)
        if self.regression_weight:
            terms["regression"] = self.regression_weight * self._regression(batch, shares)
        return terms

    def _lists(self, batch: ListwiseBatch, labels: Labels | None) -> tuple[ListwiseBatch, BatchShares]:
        """What is compared, and what its rows are a share of."""
        return lists_of_scope(
            self.candidates,
            batch,
            labels,
            documents=bool(self.gather_across_devices and self._pooled or self.regression_weight),
            across_devices=self.gather_across_devices,
            filter=self.in_batch_filter,
            iteration=self.iteration,
        )

    @property
    def _pooled(self) -> bool:
        """Whether queries are compared with documents beyond their own lists."""
        return bool(self.contrastive_weight or self._comparison.wants_others)

    def _compare(self, lists: ListwiseBatch, shares: BatchShares, *, first: bool = False) -> dict[str, Tensor]:
        """The weighted terms over lists."""
        logits = self._logits(lists.queries, lists.documents)
        alone = self.of_teacher_alone
        targets = log_probs_of(self.targets, lists, self.teacher_temperature, of_teacher_alone=alone)
        student = logits.gather(1, lists.index)[:, None]  # (B, 1, N)
        if first:
            self._inspect(student.detach(), targets, lists)
        pool = self._pool(logits, lists, shares) if self._pooled else None
        compared = self._comparison.means(student, targets, lists, shares, pool, first=first)
        show_targets(self.targets, compared[0])
        terms = self._weigh(compared)
        if self.contrastive_weight and pool is not None:
            contrast = pool.contrast(self.contrastive_scale / self.scale, shares)
            terms["contrastive"] = self.contrastive_weight * contrast
        return terms

    def _logits(self, queries: Tensor, documents: Tensor) -> Tensor:
        return student_logits(queries, documents, self.similarity_fct, self.scale)

    def _pool(self, logits: Tensor, batch: ListwiseBatch, shares: BatchShares) -> Pool:
        gather = self.gather_across_devices and self.candidates == LIST
        return pool_of(batch, logits, self._logits, shares, across_devices=gather)

    def _regression(self, batch: ListwiseBatch, shares: BatchShares) -> Tensor:
        if self.regression_terms is None and self.regression_map is None:
            return embedding_regression(batch, shares)
        terms = self.regression_terms or {"cosine": 1.0}
        gather = self.gather_across_devices
        return total(list_terms(batch, terms, self.regression_map, shares=shares, across_devices=gather))

    def _inspect(self, student: Tensor, targets: Tensor, batch: ListwiseBatch) -> None:
        if self.targets is None and self._comparison.objective.by_spread:
            warn_if_narrow(batch, self.teacher_temperature)
        if self._comparison.objective.is_divergence and bool(batch.counts.any()):
            values = partial(self._comparison.values, targets=targets[:, :1], batch=batch)
            warn_if_mismatched(lambda by: float(mean_over(values(by * student), batch.counts)), self.scale)

    def _weigh(self, compared: Tensor) -> dict[str, Tensor]:
        """The terms of teacher and assistants, weighted."""
        name = self._comparison.objective.key
        if len(compared) == 1:
            return {f"{name}_teacher": compared[0]}
        others = (1 - self.alpha) * compared[1:].mean()
        return {f"{name}_teacher": self.alpha * compared[0], f"{name}_assistant": others}

    @property
    def of_teacher_alone(self) -> bool:
        """Whether scope or objective have no use for assistants, so that ``alpha`` weighs nothing."""
        return self.candidates != LIST or self._comparison.of_teacher_alone

    def get_extra_state(self) -> dict[str, Any]:
        """What the targets have learned, for a checkpoint (see ``KeepLossWeights``)."""
        return state_of(self.targets)

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores it from a checkpoint."""
        load_state(self.targets, state)

    def get_config_dict(self) -> dict[str, Any]:
        """The arguments, for the model card."""
        config: dict[str, Any] = {"similarity_fct": similarity_fct_name(self.similarity_fct), "scale": self.scale}
        config |= self._comparison.get_config_dict()
        if self.targets is None:
            config["teacher_temperature"] = self.teacher_temperature
        else:
            config["targets"] = described(self.targets)
        for name in ("alpha", "contrastive_weight", "contrastive_scale", "regression_weight"):
            config[name] = getattr(self, name)
        if self.regression_terms is not None:
            config["regression_terms"] = self.regression_terms
        if self.regression_map is not None:
            config["regression_map"] = self.regression_map.kind
        given = {name: vars(self).get(name) for name in ("candidates", "in_batch_filter", "gather_across_devices")}
        return config | {name: value if value is True else str(value) for name, value in given.items() if value}
