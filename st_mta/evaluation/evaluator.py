"""A host evaluator: graded measures of a Sentence Transformers model on a collection, for any trainer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.sentence_transformer import SentenceTransformer

from st_mta.evaluation.documents import documents_of
from st_mta.evaluation.measures import MEASURES, evaluate_run
from st_mta.evaluation.rankings import cut, judged_queries, own_passages
from st_mta.progress import progress
from st_mta.trec import write_run
from st_mta.types import Collection, IntArray, Retrieved, Run, Windows

PASSAGES_PER_BLOCK = 8_192
SCORES_PER_BLOCK = 2**25  # 128 MB of float32 on the model's device
SORTED = 8  # times the memory that scores take while they are sorted


class CollectionEvaluator(BaseEvaluator):  # type: ignore[misc]
    """Exact search over a collection's corpus, measured on graded judgements.

    The host's ``InformationRetrievalEvaluator`` treats all grades alike; this one measures as ir_measures does, and
    names its values without a similarity ("scifact_dev_ndcg@10"), so that the two are not confused.

    Args:
        collection: Corpus, queries and judgements; where passages are windows, documents are ranked and measured.
        split: The judged split to search for.
        name: Prefix of the values; by default collection and split.
        measures: Names from ``MEASURES``; the first is the primary metric.
        depth: Passages retrieved per query.
        relevance_level: Lowest grade that counts as relevant for measures without grades.
        batch_size: Texts encoded at once.
        write_predictions: Whether to write the run (``<name>_epoch<e>_step<s>.trec``) into the output path.

    Raises:
        InputError: If the split has no judgements, or (when called) a measure is unknown.

    Example:
        >>> evaluator = CollectionEvaluator(collection, "dev")  # doctest: +SKIP
        >>> evaluator(model)[evaluator.primary_metric]  # doctest: +SKIP
        0.431
    """

    def __init__(
        self,
        collection: Collection,
        split: str = "dev",
        *,
        name: str | None = None,
        measures: Sequence[str] = tuple(MEASURES),
        depth: int = 100,
        relevance_level: int = 1,
        batch_size: int = 32,
        write_predictions: bool = False,
    ) -> None:
        super().__init__()
        self.collection, self.split = collection, split
        self.name = name if name is not None else f"{collection.name}_{split}"
        self.measures, self.depth, self.batch_size = tuple(measures), depth, batch_size
        self.relevance_level = relevance_level
        self.write_predictions = write_predictions
        self.queries = judged_queries(collection, split)
        self.own = own_passages(collection.over_documents, self.queries)
        self.primary_metric = f"{self.name}_{self.measures[0]}" if self.name else self.measures[0]

    def __call__(
        self, model: SentenceTransformer, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Measures the model and stores the values in its model card."""
        run = self.search(model)
        qrels = self.collection.qrels[self.split]
        measured = evaluate_run(run, qrels, self.measures, relevance_level=self.relevance_level)
        values = self.prefix_name_to_metrics(measured, self.name)
        self.store_metrics_in_model_card_data(model, values, epoch, steps)
        if self.write_predictions and output_path is not None:
            self._write(run, Path(output_path), epoch, steps)
        return dict(values)

    def search(self, model: SentenceTransformer) -> Run:
        """The model's ranking of the corpus for each query of the split."""
        over, windows = self.collection.over_documents, self.collection.windows
        wanted = min(self.depth + int((self.own >= 0).any()), len(over.corpus))
        summed = windows is not None and windows.best > 1  # what is searched are then documents, by all their windows
        most = wanted if windows is None else wanted * int(windows.lengths.max())  # then they are of enough documents
        queries = self._encode(model.encode_query, self.collection.queries.take(self.queries))
        most = wanted if summed else min(most, len(self.collection.corpus))
        scores, positions = self._nearest(model, queries, most, windows if summed else None)
        found = Retrieved(self.queries, positions.cpu().numpy(), scores.cpu().numpy())
        found = found if windows is None or summed else documents_of(found, windows, wanted)
        return cut(found, self.depth, self.own).to_run(over.queries, over.corpus)

    def over(self, collection: Collection) -> CollectionEvaluator:
        """The evaluator of a run over another collection: the same split, all measures."""
        return CollectionEvaluator(collection, self.split)

    def _nearest(
        self, model: SentenceTransformer, queries: torch.Tensor, k: int, windows: Windows | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(Q, k) scores and corpus positions, best first; the corpus passes through in blocks.

        With ``windows`` positions of documents, each with the sum of its best windows.
        """
        scores = queries.new_empty((len(queries), 0))
        positions = torch.empty((len(queries), 0), dtype=torch.int64, device=queries.device)
        total, best = len(self.collection.corpus), 1 if windows is None else windows.best
        with progress(f"Searching {self.name or self.collection.name}", total, "passages") as bar:
            for block in _blocks(total, windows):
                passages = self._encode(model.encode_document, self.collection.corpus.take(block))
                document = None if windows is None else windows.document[block.start : block.stop]
                first = block.start if document is None else int(document[0])
                found, where = _best_of_block(model, queries, passages, k, document, best)
                scores, positions = torch.cat([scores, found], 1), torch.cat([positions, where + first], 1)
                scores, positions = _best(scores, positions, k)
                bar.update(len(block))
        return scores, positions

    def _encode(self, encode: Any, texts: list[str]) -> torch.Tensor:
        options = {"batch_size": self.batch_size, "convert_to_tensor": True, "show_progress_bar": False}
        embeddings: torch.Tensor = encode(texts, **options)
        return embeddings.float()  # similarities in half precision would tie

    def _write(self, run: Run, folder: Path, epoch: float, steps: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        moment = "" if epoch == -1 and steps == -1 else f"_epoch{epoch:g}_step{steps}"
        write_run(folder / f"{self.name or self.split}{moment}.trec", run, tag="st_mta")

    @property
    def description(self) -> str:
        """Heading in the model card."""
        return "Information Retrieval"

    def get_config_dict(self) -> dict[str, Any]:
        """What the model card says about how the values came about."""
        return {"split": self.split, "depth": self.depth, "graded": True}


def _blocks(total: int, windows: Windows | None) -> Iterator[range]:
    """The corpus in parts, with all windows of a document in one."""
    starts = range(0, total, PASSAGES_PER_BLOCK)
    if windows is None:
        ends = [min(start + PASSAGES_PER_BLOCK, total) for start in starts]
    else:
        offsets = np.append(windows.offsets, total)
        ends = np.unique(offsets[np.searchsorted(offsets, [*starts[1:], total])]).tolist()
    yield from (range(start, end) for start, end in pairwise([0, *ends]))


def _best_of_block(
    model: SentenceTransformer,
    queries: torch.Tensor,
    passages: torch.Tensor,
    k: int,
    document: IntArray | None = None,
    best: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(Q, min(k, block)) scores and positions within the block, of documents where ``document`` is given."""
    rows = max(1, SCORES_PER_BLOCK // (len(passages) * (1 if document is None else SORTED)))
    found = []
    for row in range(0, len(queries), rows):
        scores = model.similarity(queries[row : row + rows], passages)
        scores = scores if document is None else _summed(scores, document, best)
        found.append(scores.topk(min(k, scores.shape[1]), dim=1, sorted=False))
    return torch.cat([top.values for top in found]), torch.cat([top.indices for top in found])


def _summed(scores: torch.Tensor, document: IntArray, best: int) -> torch.Tensor:
    """(Q, n) scores of windows -> (Q, D) sums of the best of each document.

    Args:
        scores: Of one window after the other.
        document: (n,) ascending, of each window; D of them without a gap.
        best: How many count.
    """
    lengths = np.bincount(document - document[0])
    number = torch.from_numpy(document - document[0]).to(scores.device)
    order = scores.argsort(dim=1, descending=True)
    order = order.gather(1, number[order].argsort(dim=1, stable=True))  # by document, in each the best first
    starts, sums = np.cumsum(lengths) - lengths, scores.new_zeros(len(scores), len(lengths))
    for place in range(min(best, int(lengths.max()))):
        longer = np.flatnonzero(lengths > place)
        at = torch.from_numpy(starts[longer] + place).to(scores.device)
        sums[:, torch.from_numpy(longer).to(scores.device)] += scores.gather(1, order[:, at])
    return sums


def _best(scores: torch.Tensor, positions: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k best of each row, ties to the lower position (two stable sorts, the less important key first)."""
    by_position = positions.argsort(dim=1)
    scores, positions = scores.gather(1, by_position), positions.gather(1, by_position)
    by_score = scores.argsort(dim=1, descending=True, stable=True)[:, :k]
    return scores.gather(1, by_score), positions.gather(1, by_score)
