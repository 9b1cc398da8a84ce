"""Assistants from one base: different enough to disagree, all tuned on the collection they are to help with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.multi_vector_encoder.losses import MultiVectorMultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import nn

from st_mta.assistants.calibration import fit_temperature
from st_mta.atomic import atomic_write_text
from st_mta.errors import InputError
from st_mta.evaluation import evaluate_scorer
from st_mta.losses import ListwiseKLLoss
from st_mta.outputs import check_output_folder
from st_mta.recipes.tune import (
    Model,
    TuningSettings,
    column_dataset,
    remove_checkpoints,
    tunable_collection,
    tune,
    tuning_lists,
)
from st_mta.run.identity import refuse_other_configuration
from st_mta.run.lock import one_at_a_time
from st_mta.scored import score_all
from st_mta.scorers import BM25, load_scorer, load_student
from st_mta.scorers.late_interaction import token_by_token
from st_mta.scorers.lengths import limit_length, usable_length
from st_mta.scorers.origin import num_layers
from st_mta.stores import Store
from st_mta.training.student_folders import save_student
from st_mta.training.students import prune_layers, spread_layers
from st_mta.types import Candidates, Collection, Scorer


@dataclass(frozen=True)
class Material:
    """What an assistant is made from; ``lists`` are positives and hard negatives of the training queries."""

    base: str
    collection: Collection
    lists: Candidates
    settings: TuningSettings
    folder: Path
    teacher: Scorer | None = None

    def load(self) -> SentenceTransformer:
        """A fresh base."""
        model = load_student(self.base, device=self.settings.device)
        limit_length(model, usable_length(model, self.settings.max_length, self.base))
        return model

    @cached_property
    def columns(self) -> tuple[Dataset, Candidates]:
        """The lists as a dataset, and those that are in it."""
        return column_dataset(self.collection, self.lists)

    def tuned(self, model: Model, loss: nn.Module, labels: list[list[float]] | None = None) -> Model:
        """The model, tuned on the lists, with labels (Q, N) where the loss wants them."""
        dataset = self.columns[0] if labels is None else self.columns[0].add_column("label", labels)
        tune(model, dataset, loss, self.settings, self.folder)
        return model


def contrastive(material: Material) -> Model:
    """The whole base, tuned by in-batch and hard negatives."""
    model = material.load()
    return material.tuned(model, MultipleNegativesRankingLoss(model))


def shallow(material: Material) -> Model:
    """Two thirds of the base's layers, spread over its depth, tuned alike: sees less, errs elsewhere."""
    model = material.load()
    depth = num_layers(model) or 0
    kept = max(1, round(2 * depth / 3))
    model = prune_layers(model, spread_layers(kept, depth))
    return material.tuned(model, MultipleNegativesRankingLoss(model))


def pooled(material: Material) -> Model:
    """The base read from its first token where it takes the mean, and the other way round, tuned alike."""
    base = material.load()
    mode = "mean" if "cls" in str(getattr(base[1], "pooling_mode", "")) else "cls"
    modules = [base[0], Pooling(int(base.get_embedding_dimension() or 0), pooling_mode=mode), Normalize()]
    prompts = {name: text for name, text in (base.prompts or {}).items() if text}
    model = SentenceTransformer(modules=modules, prompts=prompts or None, device=str(base.device))
    return material.tuned(model, MultipleNegativesRankingLoss(model))


def imitating(material: Material) -> Model:
    """The whole base, tuned to the teacher's distributions over the lists (listwise KL)."""
    assert material.teacher is not None  # refused before anything was made
    model = material.load()
    scores, mask, _ = score_all(material.collection, material.columns[1], [material.teacher]).dense()
    temperature = fit_temperature(scores[:, 0], mask, target_entropy=0.5)
    return material.tuned(model, ListwiseKLLoss(model, teacher_temperature=temperature), scores[:, 0].tolist())


def late_interaction(material: Material) -> Model:
    """The base's token vectors, tuned by in-batch and hard negatives under late interaction."""
    model = token_by_token(material.load())
    return material.tuned(model, MultiVectorMultipleNegativesRankingLoss(model))


ASSISTANTS: dict[str, Callable[[Material], Model]] = {
    "contrastive": contrastive,
    "shallow": shallow,
    "pooled": pooled,
    "imitating": imitating,
    "late-interaction": late_interaction,
}
"""Every assistant that can be made, by the name of its folder; a new one is one function and one line here."""
KINDS = ("contrastive", "pooled", "late-interaction")
"""Those made by default."""


@dataclass(frozen=True)
class Made:
    """A model that was made.

    Attributes:
        name: What it is called in the table.
        model: How to name it to ``st-mta distill``.
        dev: Its measures on the development split.
    """

    name: str
    model: str
    dev: dict[str, float] = field(default_factory=dict)


@one_at_a_time
def make_assistants(
    base: str,
    collection: Collection | str | Path,
    output_dir: str | Path,
    *,
    kinds: Sequence[str] = KINDS,
    teacher: Any = None,
    settings: TuningSettings | None = None,
    store: Store | str | Path | None = None,
) -> list[Made]:
    """Makes a set of diverse assistants from one pretrained encoder and a collection with training queries.

    Negatives are drawn from what the base and BM25 find. What was made before in the folder is not made again.

    Args:
        base: Hub id, folder or "minilm".
        collection: What [`load_collection`] takes or returns.
        output_dir: One folder per assistant, and ``assistants.json`` with their quality.
        kinds: Names of ``ASSISTANTS``.
        teacher: A scorer or its name, needed by "imitating".
        settings: How to train.
        store: Where scores and embeddings are kept.

    Returns:
        The assistants, BM25 and the untuned base among them, with their quality on the development split.

    Raises:
        InputError: For an unknown kind, a folder of other assistants, or a collection without judged training queries.
    """
    check_kinds(kinds, teacher)
    folder, settings = check_output_folder(output_dir), settings or TuningSettings()
    collection = tunable_collection(collection, settings)
    store = Store.at(store)
    options = settings.scorer_options(store)
    untuned = load_scorer(load_student(base, device=settings.device), options, name=base)
    bm25 = BM25(store=store)
    scorer = None if teacher is None else load_scorer(teacher, options)
    described = {"base": base, "collection": f"{collection.name} ({collection.fingerprint})", **asdict(settings)}
    # Which kinds are made may grow, so a teacher is described where one is given.
    refuse_other_configuration(folder, described | ({} if scorer is None else {"teacher": scorer.fingerprint}))
    lists = tuning_lists(collection, [untuned, bm25], settings)
    made = [_measured(untuned, base, collection, untuned), _measured(bm25, "bm25", collection, untuned)]
    for kind in kinds:
        if not (folder / kind).exists():
            material = Material(base, collection, lists, settings, folder / f"{kind}.tuning", scorer)
            save_student(ASSISTANTS[kind](material), folder / kind)
            remove_checkpoints(material.folder)
        assistant = load_scorer(str(folder / kind), options)
        made.append(_measured(assistant, str(folder / kind), collection, untuned, kind))
        atomic_write_text(folder / "assistants.json", json.dumps([asdict(one) for one in made], indent=2) + "\n")
    return made


def _measured(scorer: Scorer, model: str, collection: Collection, searcher: Scorer, name: str | None = None) -> Made:
    return Made(name or scorer.name, model, evaluate_scorer(scorer, collection, "dev", first_stage=searcher)[1])


def check_kinds(kinds: Sequence[str], teacher: Any) -> None:
    """Raises ``InputError`` for a kind that is unknown, named twice, or lacks the teacher it imitates."""
    unknown = [kind for kind in kinds if kind not in ASSISTANTS]
    if unknown or len(set(kinds)) < len(kinds):
        raise InputError(
            expected=f"different assistants out of {', '.join(ASSISTANTS)}",
            got=", ".join(unknown or kinds),
            remedy="choose from these; bm25 and the untuned base need no making",
        )
    if teacher is None and "imitating" in kinds:
        raise InputError(
            expected="a teacher for the assistant 'imitating'",
            got="none",
            remedy="name one with --teacher, or leave this assistant out",
        )
