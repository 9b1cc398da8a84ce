"""Whether the width of a teacher matters: a student regressed to MiniLM, and to a 768-wide orthonormal copy of it.

    python -m benchmarks.assistants.widths [--collections openbookqa] [--seeds 1 2 3]

The copy stands alone, so that the map leads to the untrained student's space. Also measured: the student's queries in
the teacher's own index, and a teacher that is given twice.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense

from benchmarks.assistants.__main__ import quiet
from benchmarks.assistants.strong import DEVICE, StrongBudget, StrongMaterial
from benchmarks.environment import data_folder, environment
from st_mta.evaluation import evaluate_scorer
from st_mta.scorers import BiEncoderScorer, EmbeddingScorer
from st_mta.scorers.compressed import ServedScorer
from st_mta.training.distillation import Distillation
from st_mta.training.run_state import STUDENT

WIDE = 768
TEACHERS = ("the teacher", "a wider copy", "the teacher, given twice")


def main() -> None:
    """Trains, measures, writes ``widths.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collections", nargs="+", default=["openbookqa"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--work-dir", type=Path, default=Path(platformdirs.user_cache_dir("st_mta-assistants")))
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("widths.json"))
    options = parser.parse_args()
    quiet()
    found: dict[str, Any] = {}
    for name in options.collections:
        material = StrongMaterial(name, StrongBudget(), data_folder(), options.work_dir / "mpnet")
        for seed in options.seeds:
            for teacher in TEACHERS:
                measured = _run(material, teacher, seed)
                found.setdefault(name, {}).setdefault(teacher, {})[str(seed)] = measured
                print(name, seed, teacher, measured, flush=True)
    options.output.write_text(json.dumps({"students": found, "environment": environment()}, indent=2) + "\n")


def _run(material: StrongMaterial, which: str, seed: int) -> dict[str, float]:
    """nDCG@10 on test of the warmed-up student, and of its queries in its teacher's index."""
    family = next(scorer for scorer in material.bi_encoders if scorer.name == "minilm")
    pools: dict[str, list[Any]] = {
        "the teacher": [family],
        "a wider copy": [_wider_copy(material)],
        "the teacher, given twice": [family, material.scorer(material.tuned["minilm"], "minilm again")],
    }
    pool, folder = pools[which], material.folder / "widths" / f"{TEACHERS.index(which)}-{seed}"
    arguments = material.arguments(
        folder, seed=seed, learning_rate=2e-4, regression_to="best" if len(pool) == 1 else "all"
    )
    run = Distillation.prepare(
        material.pruned(), arguments, material.teacher, pool, material.collection, store=material.store
    )
    best = run.begin()
    student, target = run.students.scorer(best.folder, STUDENT), run.regression_target()
    assert target is not None
    return {"own index": _ndcg(student, material), "teacher's index": _ndcg(ServedScorer(student, target), material)}


def _ndcg(scorer: EmbeddingScorer, material: StrongMaterial) -> float:
    return round(evaluate_scorer(scorer, material.collection, "test")[1]["ndcg@10"], 4)


def _wider_copy(material: StrongMaterial) -> BiEncoderScorer:
    model = SentenceTransformer(material.tuned["minilm"], device=DEVICE)
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(WIDE, WIDE)))[0][: model.get_embedding_dimension()]
    dense = Dense(*turned.shape, bias=False, activation_function=torch.nn.Identity())
    dense.linear.weight.data = torch.tensor(turned.T, dtype=torch.float32)
    copy = SentenceTransformer(modules=[*model, dense], device=DEVICE)
    return BiEncoderScorer(copy, name="copy", store=material.store, max_length=material.budget.max_length)


if __name__ == "__main__":
    main()
