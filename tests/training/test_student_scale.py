"""The student is calibrated as its teachers are: else the listwise terms teach it to be less sure, and little else."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from st_mta.assistants.targets import AssistantTargets
from st_mta.losses.by_name import find_loss
from st_mta.mining import load_candidates
from st_mta.training.loss import loss_of_run
from st_mta.training.settled import Settled
from tests.tiny import tiny_sentence_transformer
from tests.training.toy_run import toy_arguments, toy_trainer


def mean_entropy(student, collection, lists, scale):
    """Share of the greatest entropy, in loops."""
    shares = []
    for row in range(len(lists)):
        passages = lists.passages[lists.offsets[row] : lists.offsets[row + 1]]
        query = student.encode_query(collection.queries.take(lists.queries[row : row + 1]))[0].astype(np.float64)
        documents = student.encode_document(collection.corpus.take(passages)).astype(np.float64)
        cosines = documents @ query / np.linalg.norm(documents, axis=1) / np.linalg.norm(query)
        weights = np.exp(scale * (cosines - cosines.max()))
        probabilities = weights / weights.sum()
        shares.append(-sum(p * math.log(p) for p in probabilities if p) / math.log(len(passages)))
    return np.mean(shares)


def score_results(out):
    stations = json.loads((out / "state.json").read_text())["stations"]
    return [stations[f"iteration-0{number}/score"]["result"] for number in range(2)]


def test_each_iteration_gives_the_student_the_entropy_of_its_teachers(toy_collection, tmp_path):
    out = tmp_path / "out"
    toy_trainer(out, tmp_path / "store", toy_collection, target_entropy=0.7, learning_rate=1e-2).train()
    scales = [result["student_scale"] for result in score_results(out)]
    assert scales[0] != scales[1]
    starts = [out / "warm-up" / "student", out / "iteration-00" / "student"]
    journal = json.loads((out / "state.json").read_text())["stations"]
    if journal["iteration-00/evaluate"]["result"]["dev"]["ndcg@10"] <= journal["warm-up"]["result"]["dev"]["ndcg@10"]:
        starts[1] = starts[0]
    for number, start in enumerate(starts):
        lists = load_candidates(out / f"iteration-0{number}" / "lists.parquet")
        student = SentenceTransformer(str(start), device="cpu")
        assert mean_entropy(student, toy_collection, lists, scales[number]) == pytest.approx(0.7, abs=1e-3)


def test_a_scale_that_was_named_is_kept(toy_collection, tmp_path):
    out = tmp_path / "out"
    toy_trainer(out, tmp_path / "store", toy_collection, scale=7.0).train()
    assert [result["student_scale"] for result in score_results(out)] == [None, None]


@pytest.mark.parametrize(
    ("named", "fitted", "expected"), [(None, 9.0, (9.0, 20.0)), (7.0, None, (7.0, 7.0)), (None, None, (20.0, 20.0))]
)
def test_the_fitted_scale_is_for_the_lists_alone(tmp_path, named, fitted, expected):
    targets = AssistantTargets(["A"], [1.0, 1.0], student_scale=fitted)
    make = loss_of_run(find_loss("kl"), toy_arguments(tmp_path, scale=named), Settled("cpu", False, 0.0))
    loss = make(tiny_sentence_transformer(1), targets)
    assert (loss.scale, loss.contrastive_scale) == expected
