"""The quickstart: a true distillation on this machine's own documentation, with weights from a package."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from st_mta.collections import load_collection
from st_mta.evaluation.schema import Report
from st_mta.scorers import BM25, BiEncoderScorer, LateInteractionScorer, model_path
from st_mta.stores import Store
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.distill import finished_report, prepare_folder, run_trainer
from st_mta.training.files import RunFolder
from st_mta.training.students import prune_layers
from st_mta.training.trainer import MultiAssistantTrainer

MAX_LENGTH = 64
"""Tokens; the passages have about 60 words, and longer cuts changed no measure on the development split."""


@dataclass
class QuickstartConfig:
    """Options of ``st-mta quickstart``."""

    output_dir: str = field(
        default="quickstart-out", metadata={"help": "Folder for the student, run files, report and plots."}
    )
    store: str | None = field(
        default=None, metadata={"help": "Folder of stored scores and embeddings (the user's cache if not given)."}
    )
    seed: int = field(default=42, metadata={"help": "Seed of everything random."})
    overwrite: bool = field(default=False, metadata={"help": "Begin anew where the output folder holds another run."})


def quickstart(config: QuickstartConfig) -> Report:
    """Distils all-MiniLM-L6-v2, read token by token, into three of its own layers.

    The teacher compares every token of a query with every token of a passage (late interaction: good and slow); the
    assistants are the same weights as a bi-encoder, five of its layers, and BM25. Queries and passages are the
    documentation strings of the running Python.

    Args:
        config: The options.

    Returns:
        The report, as in ``report.json``.
    """
    folder = RunFolder(Path(config.output_dir))
    if (finished := finished_report(folder, config)) is not None:
        return finished
    weights = model_path("minilm")
    prepare_folder(folder, config.overwrite)
    store = Store(config.store)
    options: dict[str, Any] = {"store": store, "max_length": MAX_LENGTH, "device": "cpu"}
    trainer = MultiAssistantTrainer(
        prune_layers(SentenceTransformer(weights, device="cpu"), keep=[0, 2, 5]),
        quickstart_arguments(config),
        teacher=LateInteractionScorer(weights, name="minilm late interaction", **options),
        assistants=[
            BiEncoderScorer(weights, name="minilm", **options),
            BiEncoderScorer(
                prune_layers(SentenceTransformer(weights, device="cpu"), keep=[0, 1, 2, 4, 5]),
                name="minilm 5 layers",
                **options,
            ),
            BM25(store=store),
        ],
        collection=load_collection("pydocs"),
        store=store,
    )
    return run_trainer(trainer, folder, config)


def quickstart_arguments(config: QuickstartConfig) -> MultiAssistantTrainingArguments:
    """Two short iterations; chosen on the development split within ten minutes on two cores."""
    return MultiAssistantTrainingArguments(
        config.output_dir,
        num_iterations=2,
        num_candidates=6,
        regression_epochs=2.0,
        max_length=MAX_LENGTH,
        seed=config.seed,
        use_cpu=True,
    )
