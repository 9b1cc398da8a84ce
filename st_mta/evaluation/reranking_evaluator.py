"""A host evaluator of cross-encoders: they re-rank what a first stage finds in a collection."""

from __future__ import annotations

from typing import Any

import numpy as np
from sentence_transformers import CrossEncoder
from torch import nn

from st_mta.evaluation.evaluator import CollectionEvaluator
from st_mta.evaluation.rankings import cut
from st_mta.evaluation.scorer_quality import best_passages
from st_mta.types import Collection, Retrieved, Run, Scorer


class RerankingEvaluator(CollectionEvaluator):
    """Re-ranks the best passages of a first stage and measures the ranking on graded judgements.

    The host's ``CrossEncoderRerankingEvaluator`` wants the lists written out; this one asks a retriever once, when it
    is first called.

    Args:
        collection: Corpus, queries and judgements.
        split: The judged split.
        first_stage: A scorer that searches.
        options: As of [`CollectionEvaluator`]; ``batch_size`` counts pairs.
    """

    def __init__(self, collection: Collection, split: str = "dev", *, first_stage: Scorer, **options: Any) -> None:
        super().__init__(collection, split, **options)
        self.first_stage = first_stage
        self._found: Retrieved | None = None

    def search(self, model: CrossEncoder) -> Run:
        """The model's ranking of the first stage's passages for each query of the split."""
        if self._found is None:
            self._found = best_passages(self.first_stage, self.collection, self.queries, self.depth)
        passages = self._found.passages[:, : self.depth + int((self.own >= 0).any())]
        rows, columns = np.nonzero(passages >= 0)
        queries = self.collection.queries.take(self._found.queries[rows])
        pairs = list(zip(queries, self.collection.corpus.take(passages[rows, columns])))
        scores = np.full(passages.shape, -np.inf, dtype=np.float32)
        scores[rows, columns] = model.predict(
            pairs, batch_size=self.batch_size, activation_fn=nn.Identity(), show_progress_bar=False
        )
        found = Retrieved(self._found.queries, passages, scores)
        return cut(found, self.depth, self.own).to_run(self.collection.queries, self.collection.corpus)

    def over(self, collection: Collection) -> RerankingEvaluator:
        """The same over another collection."""
        return RerankingEvaluator(collection, self.split, first_stage=self.first_stage)

    @property
    def description(self) -> str:
        """Heading in the model card."""
        return "Re-ranking"
