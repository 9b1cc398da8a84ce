"""One run: an arm, a student, a seed, on one collection."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from sentence_transformers import SentenceTransformer

from benchmarks.assistants.arms import ARMS, Arm
from benchmarks.assistants.material import DEVICE, Material
from st_mta.assistants.pool import AssistantPool
from st_mta.atomic import atomic_write_text
from st_mta.evaluation import evaluate_scorer
from st_mta.evaluation.measures import per_query
from st_mta.run.results import Evaluated, Mined, Trained
from st_mta.training.distillation import Distillation
from st_mta.training.run_state import BEFORE
from st_mta.types import Collection

Kind = TypeVar("Kind")


def run_arm(
    material: Material,
    arm: str,
    seed: int,
    layers: tuple[int, ...],
    zero_shot: list[Collection],
    split: str = "test",
    arms: Mapping[str, Arm] = ARMS,
    pool: AssistantPool | None = None,
    **overrides: Any,
) -> dict[str, Any]:
    """Trains and measures, or reads what was measured before; a killed run resumes at its last stage.

    ``pool`` is the material's own by default.

    Returns:
        ``measures`` by collection, ``dev`` (nDCG@10 of the start and after every iteration), ``kept`` (iteration),
        ``compute``, ``selected`` (share of the assistants), ``per_query`` nDCG@10 by collection.
    """
    folder = material.folder / "runs" / f"{arm}-{'-'.join(map(str, layers))}-{seed}"
    path = folder / f"{split}.json"
    if path.exists():
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return kept
    start = time.perf_counter()
    run = _run(material, arms[arm], seed, layers, folder, pool or material.pool(), overrides)
    best = run.learn()
    seconds = time.perf_counter() - start
    student = run.students.scorer(best.folder, arm)
    measures, queries = {}, {}
    for collection in [material.collection, *zero_shot]:
        found, measures[collection.name] = evaluate_scorer(student, collection, split)
        queries[collection.name] = per_query(found, collection.qrels[split], "ndcg@10")
    done = {
        "measures": measures,
        "dev": [run.dev_quality()[BEFORE], *(_dev(run, index) for index in range(best.done))],
        "kept": best.iteration,
        "compute": {**_compute(run, best.done), "seconds": round(seconds, 1)},
        "selected": [_result(run, index, "train", Trained).selected for index in range(best.done)],
        "per_query": queries,
        "student": str(best.folder),
    }
    atomic_write_text(path, json.dumps(done))
    return done


def _run(
    material: Material,
    arm: Arm,
    seed: int,
    layers: tuple[int, ...],
    folder: Path,
    pool: AssistantPool,
    overrides: dict[str, Any],
) -> Distillation:
    whole = _one_iteration(material) if arm.one_iteration else {}
    run = Distillation.prepare(
        SentenceTransformer(str(material.warmed_student(layers)), device=DEVICE),
        material.arguments(folder, **{"seed": seed, **arm.arguments, **whole, **overrides}),
        pool.teacher,
        pool.assistants,
        material.collection,
        loss=arm.loss,
        store=material.store,
    )
    run.students.store = material.student_store  # all runs start from the same student
    return run


def _one_iteration(material: Material) -> dict[str, Any]:
    """As many lists as in two iterations, in the second of which half a sample of harder queries comes on top."""
    lists = 5 * material.cut.queries_per_iteration // 2
    queries = min(len(material.collection.qrels["train"]), lists)
    return {"num_iterations": 1, "queries_per_iteration": queries, "num_train_epochs": lists / queries}


def _compute(run: Distillation, iterations: int) -> dict[str, int]:
    trained = [_result(run, index, "train", Trained) for index in range(iterations)]
    return {
        "pairs": sum(_result(run, index, "mine", Mined).pairs for index in range(iterations)),
        "steps": sum(result.steps for result in trained),
        "sequences": sum(result.sequences for result in trained),
    }


def _result(run: Distillation, iteration: int, stage: str, kind: type[Kind]) -> Kind:
    return run.journal.result(f"{run.folder.iteration(iteration).name}/{stage}", kind)


def _dev(run: Distillation, iteration: int) -> float:
    return float(_result(run, iteration, "evaluate", Evaluated).dev["ndcg@10"])
