"""All levels of MD2PR together: contrastive, sentence and word, over one forward pass of the student."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from sentence_transformers.sentence_transformer import SentenceTransformer
from torch import Tensor, nn

from st_mta.citations import MD2PR
from st_mta.errors import InputError
from st_mta.losses.balance import GradientBalance
from st_mta.losses.batch import Labels
from st_mta.losses.filtered_contrastive import FilteredContrastiveLoss
from st_mta.losses.list_loss import Components, ListLoss, embed, total
from st_mta.losses.listwise import ListwiseKLLoss
from st_mta.losses.similarity import check_range
from st_mta.losses.word_level.loss import WordLevelLoss, share_readings
from st_mta.losses.word_level.student_pass import run_student


class MultiLevelDistillationLoss(nn.Module):
    """Weighted sum of a contrastive, a sentence-level and any number of word-level losses.

    Implements the total of MD2PR (https://arxiv.org/abs/2312.16821):

        contrastive_weight * L_contrastive + sentence_weight * L_sentence + word_weight * (L_word_1 + L_word_2 + ...)

    Args:
        model: The student; every part has to be made for the same one.
        contrastive: Default ``FilteredContrastiveLoss(model)``.
        sentence: Default ``ListwiseKLLoss(model)``.
        word: Name -> ``AttentionMSELoss`` or ``HiddenStateMSELoss``. The name appears in the logs.
        contrastive_weight: Weight of the contrastive loss; 0 leaves it out.
        sentence_weight: Weight of the sentence level; 0 leaves it out.
        word_weight: Weight of every word-level loss, or one for each name.
        balance_every: Once in so many steps the terms are rescaled so that their gradients are equally long before
            they are weighted (see ``GradientBalance``); 0 leaves their own scales.
        return_components: Whether ``forward`` returns a dictionary of the terms, already weighted, for the trainer to
            log: "contrastive", "sentence", and the names of ``word``.

    Inputs:
        As for ``ListwiseKLLoss``.

    Raises:
        InputError: If a weight is negative, a part has another student, or a name is taken.

    Example:
        ::

            word = {"attention": AttentionMSELoss(model, teacher=teacher, distance="kl")}
            loss = MultiLevelDistillationLoss(model, word=word, word_weight=0.1, return_components=True)
    """

    def __init__(
        self,
        model: SentenceTransformer,
        *,
        contrastive: FilteredContrastiveLoss | None = None,
        sentence: ListwiseKLLoss | None = None,
        word: Mapping[str, WordLevelLoss] | None = None,
        contrastive_weight: float = 1.0,
        sentence_weight: float = 1.0,
        word_weight: float | Mapping[str, float] = 1.0,
        balance_every: int = 0,
        return_components: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.contrastive = contrastive or FilteredContrastiveLoss(model)
        self.sentence = sentence or ListwiseKLLoss(model)
        self.word = nn.ModuleDict(dict(word or {}))
        share_readings((word or {}).values())
        self.weights = {"contrastive": contrastive_weight, "sentence": sentence_weight}
        self.weights |= word_weight if isinstance(word_weight, Mapping) else dict.fromkeys(self.word, word_weight)
        self.balance_every = balance_every
        self._balance = GradientBalance(balance_every) if balance_every else None
        self.return_components = return_components
        check_range("balance_every", balance_every, balance_every >= 0, "at least 0")
        for name, weight in self.weights.items():
            check_range(f"the weight of {name}", weight, 0 <= weight < math.inf, "at least 0")
        largest = max(self.weights.values())
        check_range("the largest weight", largest, largest > 0, "positive")
        self._check_parts()

    def _check_parts(self) -> None:
        levels = {"contrastive": self.contrastive, "sentence": self.sentence}
        wrong = [name for name, part in [*levels.items(), *self.word.items()] if part.model is not self.model]
        wrong += [name for name in self.word if name in levels or name not in self.weights]
        if wrong:
            raise InputError(
                expected="parts made for this model, with a weight, and names other than 'contrastive' and 'sentence'",
                got=", ".join(wrong),
                remedy="give every part the same model, and every word-level loss a name of its own and a weight",
            )

    @property
    def _levels(self) -> dict[str, ListLoss]:
        levels = {"contrastive": self.contrastive, "sentence": self.sentence}
        return {name: level for name, level in levels.items() if self.weights[name]}

    @property
    def _words(self) -> dict[str, Any]:
        return {name: part for name, part in self.word.items() if self.weights[name]}

    @property
    def alpha(self) -> float:
        """Weight of the teacher in the sentence level, where a schedule of it finds it."""
        return self.sentence.alpha

    @alpha.setter
    def alpha(self, alpha: float) -> None:
        self.sentence.alpha = alpha

    def forward(
        self, sentence_features: Iterable[dict[str, Tensor]], labels: Labels | None
    ) -> Tensor | dict[str, Tensor]:
        """The loss of one batch, or its weighted terms with ``return_components``."""
        words = self._words
        if words:
            layers: dict[str, frozenset[int]] = {
                "hidden_states": frozenset().union(*(part.states_of_student for part in words.values())),
                "attentions": frozenset().union(*(part.attentions_of_student for part in words.values())),
            }
            student = run_student(self.model, sentence_features, labels, **layers)
            terms = self._score_terms(student.embeddings, labels)
            terms |= {name: part.compute_loss_from_pass(student, labels) for name, part in words.items()}
        else:
            terms = self._score_terms(embed(self.model, sentence_features, labels), labels)
        terms = self._weigh(terms)
        return Components(terms) if self.return_components else total(terms)

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Labels | None) -> Tensor:
        """The loss as a scalar from embeddings alone, for wrappers; see ``ListwiseKLLoss`` for the shapes.

        Raises:
            InputError: If there are word-level losses, which embeddings do not suffice for.
        """
        if self.word:
            raise InputError(
                expected="no word-level loss where only embeddings are given",
                got=", ".join(self.word),
                remedy="call the loss itself, or make it without `word`",
            )
        return total(self._weigh(self._score_terms(embeddings, labels)))

    def _weigh(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        if self._balance is not None:
            trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
            terms = self._balance(terms, trained)
        return {name: self.weights[name] * term for name, term in terms.items()}

    def _score_terms(self, embeddings: list[Tensor], labels: Labels | None) -> dict[str, Tensor]:
        return {name: part.compute_loss_from_embeddings(embeddings, labels) for name, part in self._levels.items()}

    def get_extra_state(self) -> dict[str, Any]:
        """The balance of the terms, for a checkpoint (see ``KeepLossWeights``)."""
        return {} if self._balance is None else {"factors": self._balance.factors, "calls": self._balance.calls}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores the balance from a checkpoint."""
        if self._balance is not None and state:
            self._balance.factors, self._balance.calls = state["factors"], state["calls"]

    def get_config_dict(self) -> dict[str, Any]:
        """The arguments, for the model card."""
        parts = {**self._levels, **self._words}
        levels = {name: {"weight": self.weights[name], **part.get_config_dict()} for name, part in parts.items()}
        return levels | ({"balance_every": self.balance_every} if self.balance_every else {})

    @property
    def citation(self) -> str:
        """BibTeX of the papers."""
        return MD2PR + self.sentence.citation if self.weights["sentence"] else MD2PR
