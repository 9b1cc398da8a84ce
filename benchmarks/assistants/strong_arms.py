"""Ways to teach the same small student by the same strong teacher, at equal compute."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import EmbedDistillLoss
from torch import nn
from transformers import set_seed

from benchmarks.assistants.arms import kl, margin_mse
from benchmarks.assistants.strong import DEVICE, StrongMaterial
from st_mta.atomic import atomic_write_text
from st_mta.evaluation import evaluate_scorer
from st_mta.evaluation.measures import per_query
from st_mta.run.results import Mined, Trained, WarmedUp
from st_mta.scorers import BiEncoderScorer
from st_mta.scorers.compressed import ServedScorer
from st_mta.training.distillation import Distillation
from st_mta.training.regression import (
    regress_embeddings,
    regression_embeddings,
    regression_positions,
    warm_up_arguments,
)
from st_mta.training.run_state import STUDENT
from st_mta.training.settled import computes_in_bf16
from st_mta.training.student_folders import save_student
from st_mta.training.students import DOCUMENTS

LossOf = Callable[..., nn.Module]


@dataclass(frozen=True)
class StrongArm:
    """One way to teach.

    Attributes:
        what: In words, for the table.
        stock: Whether everything is the host's: the warm-up by ``EmbedDistillLoss`` with a learned projection to the
            best bi-encoder, and ``loss``.
        loss: Over the lists; None for st_mta's own.
        lists: Whether iterations over lists follow the warm-up; otherwise the warm-up is as much longer.
        arguments: Training arguments that differ from the default.
    """

    what: str
    stock: bool = False
    loss: LossOf | None = None
    lists: bool = True
    arguments: dict[str, Any] = field(default_factory=dict)


LISTS = {"learning_rate": 1e-4, "regression_weight": 0.0}
OURS = {"learning_rate": 2e-4}
SEVERAL = {**OURS, "regression_to": "all"}

STRONG_ARMS: dict[str, StrongArm] = {
    "several": StrongArm("st_mta: several in embedding space, lists beside, iterated", arguments=SEVERAL),
    "stock_embed": StrongArm("stock: EmbedDistillLoss, learned projection", stock=True, lists=False),
    "stock_kl": StrongArm("stock: the same, then DistillKLDivLoss", stock=True, loss=kl, arguments=LISTS),
    "stock_margin_mse": StrongArm("stock: the same, then MarginMSELoss", stock=True, loss=margin_mse, arguments=LISTS),
    "one": StrongArm("st_mta: one in embedding space, lists beside, iterated", arguments=OURS),
    "one_alone": StrongArm("st_mta: one in embedding space, no lists", lists=False, arguments=OURS),
    "several_alone": StrongArm("st_mta: several in embedding space, no lists", lists=False, arguments=SEVERAL),
    "scheduled": StrongArm(
        "st_mta: from the easy to several in the warm-up, lists beside",
        arguments={**OURS, "regression_to": "scheduled"},
    ),
    "selected": StrongArm(
        "st_mta: the bi-encoder selected per batch, lists beside", arguments={**OURS, "regression_to": "selected"}
    ),
    "family_alone": StrongArm(
        "st_mta: the student's own family alone, no lists", lists=False, arguments={**OURS, "regression_map": "none"}
    ),
    "per_batch": StrongArm(
        "st_mta: several, and the assistant selected per batch", arguments={**SEVERAL, "alpha": 0.5}
    ),
    "per_query": StrongArm(
        "st_mta: several, and the assistant selected per query",
        arguments={**SEVERAL, "alpha": 0.5, "select_per": "query"},
    ),
}
"""By name, in the order in which they are run; the first one's texts set the compute of those without lists."""
REFERENCE = next(iter(STRONG_ARMS))


def run_strong_arm(material: StrongMaterial, name: str, seed: int) -> dict[str, Any]:
    """Trains and measures, or reads what was measured before; a killed run resumes at its last stage.

    Returns:
        By collection ``measures`` and ``per_query`` nDCG@10 on test; ``dev`` nDCG@10 of every student, ``kept``
        iteration, ``compute``, ``student``; for arms of st_mta ``in_the_teachers_index``, nDCG@10 of the student's
        queries among the mapped passages of what it was regressed to.
    """
    folder = material.folder / "runs" / f"{name}-{seed}"
    path = folder / "result.json"
    if path.exists():
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return kept
    start, cpu = time.perf_counter(), time.process_time()
    done = _trained(material, STRONG_ARMS[name], seed, folder)
    done["compute"] |= {
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }
    student = SentenceTransformer(done["student"], device=DEVICE)
    scorer = BiEncoderScorer(student, name=name, store=material.store, max_length=material.budget.max_length)
    found, measures = evaluate_scorer(scorer, material.collection, "test")
    done |= {
        "measures": {material.name: measures},
        "per_query": {material.name: per_query(found, material.collection.qrels["test"], "ndcg@10")},
    }
    atomic_write_text(path, json.dumps(done))
    return done


def _trained(material: StrongMaterial, arm: StrongArm, seed: int, folder: Path) -> dict[str, Any]:
    epochs = material.budget.warm_up_epochs
    if not arm.lists:
        reference = run_strong_arm(material, REFERENCE, seed)["compute"]
        epochs *= reference["sequences"] / reference["warm_up_sequences"]
    arguments = {"seed": seed, **arm.arguments}
    if not arm.stock:
        return _run(material, material.pruned(), arm, folder, {"regression_epochs": epochs, **arguments})
    warmed, steps = stock_warm_up(material, epochs, seed, folder)
    if not arm.lists:
        return {"student": str(warmed), "dev": {}, "kept": None, "compute": steps}
    student = SentenceTransformer(str(warmed), device=DEVICE)
    done = _run(material, student, arm, folder, {"regression_epochs": 0.0, **arguments})
    done["compute"] = {name: value + steps.get(name, 0) for name, value in done["compute"].items()}
    return done


def _run(
    material: StrongMaterial, student: SentenceTransformer, arm: StrongArm, folder: Path, arguments: dict[str, Any]
) -> dict[str, Any]:
    run = Distillation.prepare(
        student,
        material.arguments(folder, **arguments),
        material.teacher,
        material.assistants,
        material.collection,
        loss=arm.loss,
        store=material.store,
    )
    best = run.learn() if arm.lists else run.begin()
    return {
        **_in_the_teachers_index(run, best.folder),
        "student": str(best.folder),
        "dev": run.dev_quality(),
        "kept": best.iteration,
        "compute": _compute(run, best.done),
    }


def _in_the_teachers_index(run: Distillation, student: Path) -> dict[str, float]:
    """Nothing for arms of the host, which are not regressed to anything here."""
    target = run.regression_target()
    if target is None:
        return {}
    served = ServedScorer(run.students.scorer(student, STUDENT), target)
    return {"in_the_teachers_index": evaluate_scorer(served, run.collection, "test")[1]["ndcg@10"]}


def stock_warm_up(material: StrongMaterial, epochs: float, seed: int, folder: Path) -> tuple[Path, dict[str, int]]:
    """The host's ``EmbedDistillLoss`` with a projection to the best bi-encoder on dev, on the texts of our warm-up.

    Returns:
        The student's folder, and what was computed.
    """
    path, record = folder / "stock-student", folder / "stock.json"
    if path.exists() and record.exists():
        kept: dict[str, int] = json.loads(record.read_text(encoding="utf-8"))
        return path, kept
    collection, student = material.collection, material.pruned()
    quality = material.prepare()["dev"]
    target = max(material.bi_encoders, key=lambda scorer: quality[scorer.name])
    arguments = material.arguments(folder / "stock", regression_epochs=epochs, seed=seed)
    set_seed(seed)
    done = regress_embeddings(
        student,
        texts={"query": collection.queries, DOCUMENTS: collection.corpus},
        positions=regression_positions(collection, arguments),
        targets=regression_embeddings(target, collection),
        arguments=replace(arguments, **{**warm_up_arguments(arguments), "bf16": computes_in_bf16(arguments)}),
        loss=EmbedDistillLoss(student, distance_metric="cosine", projection_dim=target.dimension),
    )
    save_student(student, path)
    computed = {"steps": done.steps, "sequences": done.sequences, "warm_up_sequences": done.sequences, "pairs": 0}
    atomic_write_text(record, json.dumps(computed))
    return path, computed


def _compute(run: Distillation, iterations: int) -> dict[str, int]:
    names = [run.folder.iteration(index).name for index in range(iterations)]
    trained = [run.journal.result(f"{name}/train", Trained) for name in names]
    warmed = run.journal.result("warm-up", WarmedUp)
    return {
        "pairs": sum(run.journal.result(f"{name}/mine", Mined).pairs for name in names),
        "steps": warmed.steps + sum(result.steps for result in trained),
        "sequences": warmed.sequences + sum(result.sequences for result in trained),
        "warm_up_sequences": warmed.sequences,
    }
