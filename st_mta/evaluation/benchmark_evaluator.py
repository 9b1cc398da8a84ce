"""A host evaluator over public benchmarks: each on its own split and judgements, and their mean."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.sentence_transformer import SentenceTransformer

from st_mta.collections import load_collection
from st_mta.collections.benchmarks import benchmark, expand
from st_mta.collections.load import refuse_unknown
from st_mta.errors import InputError
from st_mta.evaluation.evaluator import CollectionEvaluator
from st_mta.evaluation.measures import MEASURES
from st_mta.evaluation.side_by_side import mean_over_sets

logger = logging.getLogger(__name__)

MEAN = "mean"


class BenchmarkEvaluator(BaseEvaluator):  # type: ignore[misc]
    """Measures a model on benchmarks as published figures are measured, in a trainer or by a call.

    All collections are loaded at once and kept: right for NanoBEIR during training. For sets of millions of passages
    use ``evaluate_models`` (``st-mta evaluate``), which holds one at a time. A benchmark that cannot be measured is
    left out with a warning; the mean is then that of the others.

    Args:
        names: Benchmarks ("scifact"), groups of them ("nano-beir") or folders in the layout of BEIR.
        data: The folder of local copies; ``$ST_MTA_DATA`` by default.
        measures, depth, batch_size: As of ``CollectionEvaluator``.
        write_predictions: Whether to write a run file per benchmark into the output path.

    Attributes:
        primary_metric: The measure a single benchmark is published in, or the mean over several: of the measure that
            all are published in, else of the first.
        failed: Benchmark -> why it was left out.

    Raises:
        InputError: If no benchmark or measure is named, a benchmark is unknown, two have one name, or the data of all
            is missing.

    Example:
        >>> evaluator = BenchmarkEvaluator("nano-beir")  # doctest: +SKIP
        >>> evaluator(model)["mean_ndcg@10"]  # doctest: +SKIP
        0.562
    """

    def __init__(
        self,
        names: str | Iterable[str],
        *,
        data: str | Path | None = None,
        measures: Sequence[str] = tuple(MEASURES),
        depth: int = 100,
        batch_size: int = 32,
        write_predictions: bool = False,
    ) -> None:
        super().__init__()
        names = expand(names)
        if not names or not measures:
            raise InputError(
                expected="at least one benchmark and one measure",
                got=f"{len(names)} benchmarks and {len(measures)} measures",
                remedy="name some: BenchmarkEvaluator('nano-beir')",
            )
        refuse_unknown(names, data)
        self.measures = tuple(measures)
        self.evaluators: dict[str, CollectionEvaluator] = {}
        self.failed: dict[str, str] = {}
        options = {
            "measures": measures,
            "depth": depth,
            "batch_size": batch_size,
            "write_predictions": write_predictions,
        }
        for name in names:
            try:
                self._add(name, data, options)
            except InputError as error:
                if len(names) == 1:
                    raise
                self.failed[name] = str(error)
                logger.warning("The benchmark %s is left out: %s", name, error)
        self._refuse_none(names)
        main_set = next(iter(self.evaluators)) if len(names) == 1 else MEAN
        self.primary_metric = f"{main_set}_{self._main_measure(names)}"

    def _add(self, name: str, data: str | Path | None, options: dict[str, Any]) -> None:
        known, collection = benchmark(name), load_collection(name, data=data)
        if collection.name in self.evaluators:
            raise InputError(
                expected="every benchmark under a name of its own",
                got=f"{collection.name!r} twice",
                remedy="name it once, or make a copy in a folder of another name",
            )
        self.evaluators[collection.name] = CollectionEvaluator(
            collection, known.split, name=collection.name, relevance_level=known.relevance_level, **options
        )

    def _refuse_none(self, names: list[str]) -> None:
        if not self.evaluators:
            raise InputError(
                expected=f"data of at least one of {', '.join(names)}",
                got="; ".join(f"{name}: {message}" for name, message in self.failed.items()),
                remedy="mend one of them",
            )

    def __call__(
        self, model: SentenceTransformer, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Measures the model; every benchmark, and the mean over several, is stored in its model card."""
        values: dict[str, float] = {}
        by_set: dict[str, dict[str, float]] = {}
        for name, evaluator in self.evaluators.items():
            values |= (measured := evaluator(model, output_path, epoch, steps))
            by_set[name] = {measure: measured[f"{name}_{measure}"] for measure in self.measures}
        if len(by_set) + len(self.failed) > 1:
            mean = self.prefix_name_to_metrics(mean_over_sets(by_set), MEAN)
            self.store_metrics_in_model_card_data(model, mean, epoch, steps)
            values |= mean
        return values

    def _main_measure(self, names: list[str]) -> str:
        published = {benchmark(name).measure for name in names}
        return next(iter(published)) if len(published) == 1 and published <= set(self.measures) else self.measures[0]

    @property
    def description(self) -> str:
        """Heading in the model card."""
        return "Benchmarks"
