"""Between scoring and training: likely false negatives leave the lists, and the report says how many."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from st_mta import MultiAssistantTrainer
from st_mta.errors import InputError
from st_mta.mining import load_candidates
from st_mta.scorers import BM25, BiEncoderScorer
from st_mta.stores import Store
from tests.tiny import tiny_sentence_transformer
from tests.training.toy_run import toy_arguments, toy_trainer


def test_each_iteration_filters_by_its_margin(toy_collection, tmp_path):
    options = {"filter_false_negatives": "absolute", "filter_margins": [-1e6, 0.0], "regression_epochs": 0.0}
    trainer = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options)
    report = trainer.train()
    rates = [entry["filter_rate"] for entry in report["iterations"]]
    assert rates[0] == 0 and 0 < rates[1] < 1
    folder = tmp_path / "out" / "iteration-01"
    mined, lists = load_candidates(folder / "candidates.parquet"), load_candidates(folder / "lists.parquet")
    assert 1 - len(lists.passages) / len(mined.passages) == pytest.approx(rates[1])
    scores = np.load(folder / "scores.npy")
    assert scores.shape[1] == len(lists.passages) and (lists.lengths >= 2).all()
    stations = json.loads((tmp_path / "out" / "state.json").read_text())["stations"]
    rescued = stations["iteration-01/score"]["result"]["rescued_queries"]
    for row in range(len(lists)):
        pairs = lists.pairs_of(np.array([row]))
        positive, of_row = lists.positive[pairs], scores[0, pairs]
        rescued -= bool((of_row[~positive] > of_row[positive].min()).any())
    assert rescued == 0
    assert "Filtered" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("others", "margin"), [([], 0.3), ([("A", 3), ("B", 4)], 0.1)], ids=["student", "best-of-two"]
)
def test_what_is_nearly_a_positive_leaves(toy_collection, tmp_path, others, margin):
    """Judged by the best bi-encoder on dev, or by the student where the pool has none."""
    out, store, student = tmp_path / "out", Store(tmp_path / "store"), tiny_sentence_transformer(1)
    models = {name: tiny_sentence_transformer(seed) for name, seed in others}
    assistants = [BiEncoderScorer(model, name=name, store=store, precision="fp32") for name, model in models.items()]
    options = {"num_iterations": 1, "num_candidates": 12, "regression_epochs": 0.0, "regression_weight": 0.0}
    arguments = toy_arguments(out, filter_false_negatives="similarity", filter_margins=[margin], **options)
    trainer = MultiAssistantTrainer(
        student, arguments, teacher=BM25(store=store), assistants=assistants, collection=toy_collection, store=store
    )
    rate = trainer.train()["iterations"][0]["filter_rate"]
    mined, lists = (load_candidates(out / "iteration-00" / f"{name}.parquet") for name in ("candidates", "lists"))
    assert rate == pytest.approx(1 - len(lists.passages) / len(mined.passages)) and rate > 0
    quality = json.loads((out / "state.json").read_text())["stations"]["quality"]["result"]["dev"]
    judge = models[max(models, key=lambda name: quality[name]["ndcg@10"])] if models else load_before(out)
    vectors = judge.encode_document(toy_collection.corpus.take(range(len(toy_collection.corpus))))
    cosines = vectors @ vectors.T / np.linalg.norm(vectors, axis=1)[:, None] / np.linalg.norm(vectors, axis=1)
    for before, after in zip(of_rows(mined), of_rows(lists), strict=True):
        positive = [passage for passage, relevant in before.items() if relevant]
        nearest = {passage: cosines[passage, positive].max() for passage in before if passage not in positive}
        kept = [passage for passage in nearest if nearest[passage] <= 1 - margin]
        assert set(after) == {*positive, *(kept or [min(nearest, key=nearest.get)])}


def of_rows(lists):
    """Passage -> whether it is a positive, of every row."""
    return [dict(zip(lists.passages[a:b].tolist(), lists.positive[a:b].tolist())) for a, b in pairwise(lists.offsets)]


def load_before(out):
    return SentenceTransformer(str(out / "student-before"), device="cpu")


def test_no_filter_reports_no_rate(toy_collection, tmp_path):
    trainer = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, num_iterations=1)
    assert "filter_rate" not in trainer.train()["iterations"][0]


def test_the_margin_is_that_of_the_strategy(tmp_path):
    relative = toy_arguments(tmp_path, filter_false_negatives="relative", filter_margins=[0.1, 0.2])
    assert relative.false_negative_filter().threshold(10.0, iteration=5) == 8.0
    absolute = toy_arguments(tmp_path, filter_false_negatives="absolute", filter_margins=[0.1])
    assert absolute.false_negative_filter().threshold(10.0) == 9.9
    similarity = toy_arguments(tmp_path, filter_false_negatives="similarity")
    assert similarity.false_negative_filter().threshold(1.0) == 0.85
    assert toy_arguments(tmp_path).false_negative_filter() is None


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"filter_false_negatives": "soft"}, "'similarity'"),
        ({"filter_false_negatives": "relative", "filter_margins": []}, "relative_margin"),
        ({"filter_false_negatives": "absolute", "filter_margins": [float("nan")]}, "filter_margins"),
        ({"filter_margins": [0.1]}, "leave the margins out"),
    ],
)
def test_filters_that_make_no_sense_are_refused(tmp_path, options, match):
    with pytest.raises(InputError, match=match):
        toy_arguments(tmp_path, **options)
