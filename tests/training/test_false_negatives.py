"""Between scoring and training: likely false negatives leave the lists, and the report says how many."""

from __future__ import annotations

import json

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.mining import load_candidates
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


def test_no_filter_reports_no_rate(toy_collection, tmp_path):
    trainer = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, num_iterations=1)
    assert "filter_rate" not in trainer.train()["iterations"][0]


def test_the_margin_is_that_of_the_strategy(tmp_path):
    relative = toy_arguments(tmp_path, filter_false_negatives="relative", filter_margins=[0.1, 0.2])
    assert relative.false_negative_filter().threshold(10.0, iteration=5) == 8.0
    absolute = toy_arguments(tmp_path, filter_false_negatives="absolute", filter_margins=[0.1])
    assert absolute.false_negative_filter().threshold(10.0) == 9.9
    assert toy_arguments(tmp_path).false_negative_filter() is None


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"filter_false_negatives": "soft"}, "'relative' or 'absolute'"),
        ({"filter_false_negatives": "relative", "filter_margins": []}, "relative_margin"),
        ({"filter_false_negatives": "absolute", "filter_margins": [float("nan")]}, "absolute_margin"),
        ({"filter_margins": [0.1]}, "no effect"),
    ],
)
def test_filters_that_make_no_sense_are_refused(tmp_path, options, match):
    with pytest.raises(InputError, match=match):
        toy_arguments(tmp_path, **options)
