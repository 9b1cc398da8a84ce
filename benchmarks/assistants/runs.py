"""One run: an arm, a student, a seed, on one collection."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from benchmarks.assistants.arms import ARMS, Arm
from benchmarks.assistants.material import DEVICE, Material
from st_mta.assistants.pool import AssistantPool
from st_mta.atomic import atomic_write_text
from st_mta.evaluation import evaluate_scorer
from st_mta.evaluation.measures import per_query
from st_mta.run.folder import RunFolder
from st_mta.run.identity import run_configuration
from st_mta.run.journal import Journal
from st_mta.training.flow import Flow
from st_mta.training.regression import settle_regression_weight
from st_mta.training.trainer import default_loss
from st_mta.types import Collection


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
    """Trains and measures, or reads what was measured before; a killed run goes on at its last station.

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
    flow = _flow(material, arms[arm], seed, layers, folder, pool or material.pool(), overrides)
    standing = flow.learn()
    seconds = time.perf_counter() - start
    student = flow.student_scorer(standing.best, arm)
    measures, queries = {}, {}
    for collection in [material.collection, *zero_shot]:
        run, measures[collection.name] = evaluate_scorer(student, collection, split)
        queries[collection.name] = per_query(run, collection.qrels[split], "ndcg@10")
    done = {
        "measures": measures,
        "dev": [flow.dev_quality()["student-before"], *(_dev(flow, index) for index in range(standing.done))],
        "kept": standing.iteration,
        "compute": {**_compute(flow, standing.done), "seconds": round(seconds, 1)},
        "selected": [_result(flow, index, "train").get("selected", {}) for index in range(standing.done)],
        "per_query": queries,
        "student": str(standing.best),
    }
    atomic_write_text(path, json.dumps(done))
    return done


def _flow(
    material: Material,
    arm: Arm,
    seed: int,
    layers: tuple[int, ...],
    folder: Path,
    pool: AssistantPool,
    overrides: dict[str, Any],
) -> Flow:
    whole = _one_iteration(material) if arm.one_iteration else {}
    arguments = material.arguments(folder, **{"seed": seed, **arm.arguments, **whole, **overrides})
    student = SentenceTransformer(str(material.warmed_student(layers)), device=DEVICE)
    student.max_seq_length = material.budget.max_length
    settle_regression_weight(arguments, pool.scorers, student, own_loss=arm.loss is not None)
    root = RunFolder(folder)
    configuration = run_configuration(arguments, material.collection, pool, student)
    folder.mkdir(parents=True, exist_ok=True)
    flow = Flow(
        arguments,
        material.collection,
        pool,
        student,
        arm.loss or default_loss(arguments),
        root,
        Journal(root.journal, configuration, material.store.ledger),
    )
    flow.student_store = material.student_store  # all runs start from the same student
    return flow


def _one_iteration(material: Material) -> dict[str, Any]:
    """As many lists as in two iterations, in the second of which half a sample of harder queries comes on top."""
    lists = 5 * material.cut.queries_per_iteration // 2
    queries = min(len(material.collection.qrels["train"]), lists)
    return {"num_iterations": 1, "queries_per_iteration": queries, "num_train_epochs": lists / queries}


def _compute(flow: Flow, iterations: int) -> dict[str, int]:
    mined = [_result(flow, index, "mine") for index in range(iterations)]
    trained = [_result(flow, index, "train") for index in range(iterations)]
    return {
        "pairs": sum(result["pairs"] for result in mined),
        "steps": sum(result["steps"] for result in trained),
        "sequences": sum(result["sequences"] for result in trained),
    }


def _result(flow: Flow, iteration: int, station: str) -> dict[str, Any]:
    return flow.journal.result(f"{flow.folder.iteration(iteration).name}/{station}")


def _dev(flow: Flow, iteration: int) -> float:
    return float(_result(flow, iteration, "evaluate")["dev"]["ndcg@10"])
