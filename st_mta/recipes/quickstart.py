"""The quickstart: a true distillation on this machine's own documentation, with weights from a package."""

from __future__ import annotations

from dataclasses import dataclass

from sentence_transformers import SentenceTransformer

from st_mta.options import option
from st_mta.processes import processes
from st_mta.ranges import SEED
from st_mta.recipes.distill import check_run_folder, run_trainer
from st_mta.recipes.options import Stored
from st_mta.report import Report
from st_mta.run.lock import one_at_a_time
from st_mta.run.prepared import prepared
from st_mta.scorers import BM25, ScorerOptions, load_scorer, model_path
from st_mta.stores import Store
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.students import prune_layers
from st_mta.training.trainer import MultiAssistantTrainer

MAX_LENGTH = 64
"""Tokens; the passages have about 60 words, and longer cuts changed no measure on the development split."""


@dataclass(frozen=True, kw_only=True)
class QuickstartConfig(Stored):
    """Options of ``st-mta quickstart``."""

    output_dir: str = option("quickstart-out", help="Folder for the student, run files, report and plots.")
    seed: int = option(42, within=SEED, help="Seed of everything random.")
    overwrite: bool = option(False, help="Begin anew where the output folder holds another run.")


@one_at_a_time
def quickstart(config: QuickstartConfig) -> Report:
    """Distils the six layers of all-MiniLM-L6-v2 into three of them.

    The teacher is the whole model; the assistants stand between it and the student: five and four of its layers, and
    BM25, which knows words instead of meanings. Queries and passages are the documentation strings of the running
    Python.

    Args:
        config: The options.

    Returns:
        The report, as in ``report.json``.
    """
    processes().on_leader(lambda: check_run_folder(config, [config.store] if config.store else []))
    return run_trainer(prepared(lambda: _trainer(config)), config)


def _trainer(config: QuickstartConfig) -> MultiAssistantTrainer:
    """Everything loaded and checked."""
    weights, store = model_path("minilm"), Store(config.store)
    options = ScorerOptions(store, device="cpu", max_length=MAX_LENGTH)

    def layers(*keep: int) -> SentenceTransformer:
        return prune_layers(SentenceTransformer(weights, device="cpu"), keep)

    return MultiAssistantTrainer(
        layers(0, 3, 5),
        quickstart_arguments(config),
        teacher=load_scorer("minilm", options),
        assistants=[
            load_scorer(layers(0, 1, 2, 4, 5), options, name="minilm 5 layers"),
            load_scorer(layers(0, 2, 4, 5), options, name="minilm 4 layers"),
            BM25(store=store),
        ],
        collection="pydocs",
        store=store,
    )


def quickstart_arguments(config: QuickstartConfig) -> MultiAssistantTrainingArguments:
    """A warm-up and two short iterations; chosen on the development split within ten minutes on two cores."""
    return MultiAssistantTrainingArguments(
        config.output_dir,
        num_iterations=2,
        patience=None,
        num_candidates=3,
        queries_per_iteration=480,
        learning_rate=2e-4,
        contrastive_weight=0.5,
        alpha=0.5,
        regression_epochs=2.5,
        regression_learning_rate=1e-3,
        regression_batch_size=32,
        max_length=MAX_LENGTH,
        seed=config.seed,
        logging_steps=5,
        use_cpu=True,
    )
