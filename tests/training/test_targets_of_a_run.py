"""Calibration, fusion and selection as the arguments name them, down to the iteration's targets."""

from __future__ import annotations

import json

import numpy as np
import pytest

from st_mta.assistants.fusion import fuse_mean
from st_mta.assistants.selection import kl_divergence
from st_mta.collections import from_dictionaries
from st_mta.errors import InputError
from st_mta.mining import load_candidates
from st_mta.scorers import BM25, BiEncoderScorer
from st_mta.stores import Store
from st_mta.training.stages.score import fit_dev_weights
from tests import reference
from tests.tiny import tiny_sentence_transformer
from tests.training.toy_run import toy_arguments, toy_trainer

HERE = "tests.training.test_targets_of_a_run"


def own_fusion(scores, memberships, mask):
    return fuse_mean(scores, memberships, mask)


def own_selection(teacher, fused, mask):
    return -kl_divergence(teacher, fused, mask)


@pytest.mark.parametrize(
    "options", [{"calibration": "minmax"}, {"fusion": "median"}, {"selection": "cosine"}], ids=lambda o: str(*o)
)
def test_unknown_words_are_refused(tmp_path, options):
    ((name, value),) = options.items()
    with pytest.raises(InputError, match=f"{name} .*{value}"):
        toy_arguments(tmp_path, **options)


def test_a_function_that_does_not_exist_is_refused_before_anything_runs(toy_collection, tmp_path):
    with pytest.raises(InputError, match="nothing"):
        toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, fusion=f"{HERE}:nothing")
    assert not (tmp_path / "out" / "state.json").exists()


def test_own_functions_and_calibration_reach_the_targets(toy_collection, tmp_path):
    options = {"num_iterations": 1, "regression_epochs": 0.0}
    named = {"fusion": f"{HERE}:own_fusion", "selection": f"{HERE}:own_selection", "calibration": "zscore"}
    report = toy_trainer(tmp_path / "own", tmp_path / "store", toy_collection, **options, **named).train()
    plain = toy_trainer(tmp_path / "plain", tmp_path / "store", toy_collection, **options).train()
    # The farthest is chosen instead of the closest, and that is never a mixture.
    assert not any("+" in name for name in report["iterations"][0]["selected"])
    assert any("+" in name for name in plain["iterations"][0]["selected"])
    assert report["iterations"][0]["temperatures"] != plain["iterations"][0]["temperatures"]


def test_temperatures_reach_the_target_entropy(toy_collection, tmp_path):
    options = {"num_iterations": 1, "regression_epochs": 0.0, "target_entropy": 0.7}
    report = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options).train()
    lists = load_candidates(tmp_path / "out" / "iteration-00" / "lists.parquet")
    scores = np.load(tmp_path / "out" / "iteration-00" / "scores.npy")
    for row, temperature in zip(scores, report["iterations"][0]["temperatures"].values(), strict=True):
        rows = [part.tolist() for part in np.split(row, lists.offsets[1:-1])]
        masks = [[True] * len(part) for part in rows]
        assert reference.mean_normalised_entropy(rows, masks, temperature) == pytest.approx(0.7, abs=1e-3)


def test_weights_are_fitted_on_the_development_split(toy_collection, tmp_path):
    options = {"num_iterations": 1, "regression_epochs": 0.0, "fusion": "weighted"}
    toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options).train()
    scored = json.loads((tmp_path / "out" / "state.json").read_text())["stations"]["iteration-00/score"]["result"]
    assert scored["scorers"] == ["T", "A", "bm25"]
    # The queries are words of their passages: BM25 finds them, a random model does not.
    assert sum(scored["weights"]) == pytest.approx(1) and scored["weights"][1] > 0.9


def dev_weights(collection, tmp_path, assistants):
    arguments = toy_arguments(tmp_path / "out", num_candidates=8)
    return fit_dev_weights(collection, assistants, assistants, [0.1, 2.0], arguments)


def test_weights_follow_the_order_of_the_assistants(toy_collection, tmp_path):
    store = Store(tmp_path / "store")
    poor, good = BiEncoderScorer(tiny_sentence_transformer(3), name="A", store=store), BM25(store=store)
    assert dev_weights(toy_collection, tmp_path, [poor, good])[1] > 0.9
    assert dev_weights(toy_collection, tmp_path, [good, poor])[0] > 0.9


def test_without_a_development_positive_there_is_nothing_to_fit(tmp_path):
    store = Store(tmp_path / "store")
    texts = {f"p{i}": f"the cat eats bread {i}" for i in range(6)}
    qrels = {"dev": {"q": {"p1": 0}}}
    collection = from_dictionaries("x", texts, {"q": "cat bread"}, qrels)
    assistants = [BiEncoderScorer(tiny_sentence_transformer(3), name="A", store=store), BM25(store=store)]
    with pytest.raises(InputError, match="development split"):
        dev_weights(collection, tmp_path, assistants)


def test_weighted_without_assistants_is_plain_distillation(toy_collection, tmp_path):
    options = {"num_iterations": 1, "regression_epochs": 0.0, "fusion": "weighted", "assistants": []}
    report = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options).train()
    assert report["iterations"][0]["selected"] == {}
