"""A host evaluator of cross-encoders: they re-rank what a first stage finds in a collection."""

from __future__ import annotations

from typing import Any

import numpy as np
from sentence_transformers import CrossEncoder
from torch import nn

from st_mta.evaluation.evaluator import CollectionEvaluator
from st_mta.evaluation.scorer_quality import evaluate_scorer
from st_mta.types import Collection, FloatArray, IntArray, Run, Scorer, Texts


class Predicting(Scorer):
    """A cross-encoder as it is now: nothing of it is stored, and its weights may change.

    Args:
        model: Of one output.
        batch_size: Pairs at once.
    """

    name = kind = "cross-encoder"

    def __init__(self, model: CrossEncoder, batch_size: int) -> None:
        self.model, self.batch_size = model, batch_size

    @property
    def fingerprint(self) -> str:
        """None that would last."""
        return f"{self.kind} at {id(self.model)}"

    def score(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """(P,) raw logits."""
        pairs = list(zip(queries.take(query_positions), corpus.take(passage_positions)))
        options = {"batch_size": self.batch_size, "activation_fn": nn.Identity(), "show_progress_bar": False}
        return np.asarray(self.model.predict(pairs, **options), dtype=np.float32)


class RerankingEvaluator(CollectionEvaluator):
    """Re-ranks the best passages of a first stage and measures the ranking on graded judgements.

    The host's ``CrossEncoderRerankingEvaluator`` wants the lists written out; this one asks a retriever.

    Args:
        collection: Corpus, queries and judgements.
        split: The judged split.
        first_stage: A scorer that searches.
        options: As of [`CollectionEvaluator`]; ``batch_size`` counts pairs.
    """

    def __init__(self, collection: Collection, split: str = "dev", *, first_stage: Scorer, **options: Any) -> None:
        super().__init__(collection, split, **options)
        self.first_stage = first_stage

    def search(self, model: CrossEncoder) -> Run:
        """The model's ranking of the first stage's passages for each query of the split."""
        scorer = Predicting(model, self.batch_size)
        stage = self.first_stage
        return evaluate_scorer(scorer, self.collection, self.split, depth=self.depth, first_stage=stage)[0]

    def over(self, collection: Collection) -> RerankingEvaluator:
        """The same over another collection."""
        return RerankingEvaluator(collection, self.split, first_stage=self.first_stage)

    @property
    def description(self) -> str:
        """Heading in the model card."""
        return "Re-ranking"
