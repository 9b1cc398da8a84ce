"""What the students are compared with: the scorers themselves on test, and the teacher over the student's results."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

from sentence_transformers import SentenceTransformer

from benchmarks.assistants.material import DEVICE, Material
from st_mta.evaluation import evaluate_scorer
from st_mta.scorers import BiEncoderScorer

DEPTH = 100


def references(material: Material, layers: tuple[int, ...]) -> dict[str, Any]:
    """Test quality of every assistant, of the teacher over the best one's results, and of the student at the start."""
    collection = material.collection
    warmed = _student(material, material.warmed_student(layers), "start")
    searchers = [scorer for scorer in material.assistants if scorer.can_retrieve]
    measured = {scorer.name: evaluate_scorer(scorer, collection, "test")[1] for scorer in searchers}
    stage = searchers[0].retrieve(collection.queries, collection.corpus, collection.queries_of("test"), DEPTH + 1)
    for scorer in [material.teacher, *(scorer for scorer in material.assistants if not scorer.can_retrieve)]:
        measured[scorer.name] = evaluate_scorer(scorer, collection, "test", first_stage=stage)[1]
    return {
        "test": measured,
        "pruned": evaluate_scorer(material.pruned_student(layers), collection, "test")[1],
        "start": evaluate_scorer(warmed, collection, "test")[1],
    }


def recovered(material: Material, by_seed: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """The student's nDCG@10 as a share of the teacher's over the student's own 100 best, by seed."""
    collection, shares = material.collection, {}
    for seed, run in by_seed.items():
        student = _student(material, Path(run["student"]), f"student-{seed}")
        queries = collection.queries_of("test")
        stage = student.retrieve(collection.queries, collection.corpus, queries, DEPTH + 1)
        teacher = evaluate_scorer(material.teacher, collection, "test", first_stage=stage)[1]["ndcg@10"]
        own = run["measures"][collection.name]["ndcg@10"]
        shares[str(seed)] = {"student": own, "teacher": teacher, "share": own / teacher}
    return {"mean": mean(entry["share"] for entry in shares.values()), **shares}


def _student(material: Material, path: Path, name: str) -> BiEncoderScorer:
    student = SentenceTransformer(str(path), device=DEVICE)
    return BiEncoderScorer(student, name=name, store=material.student_store, max_length=material.budget.max_length)
