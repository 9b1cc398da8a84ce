"""Between scoring and training: the teacher's best passages become positives, and the report says of how many."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from st_mta.collections import from_dictionaries
from st_mta.errors import InputError
from st_mta.mining import load_candidates, save_candidates
from st_mta.run.folder import RunFolder
from st_mta.training.curriculum import training_positives
from st_mta.training.stages.score import relabel_lists
from st_mta.types import Candidates
from tests.training.toy_run import toy_arguments, toy_trainer


def test_lists_and_report(toy_collection, tmp_path):
    out, margin = tmp_path / "out", 0.01
    options = {"relabel": margin, "regression_epochs": 0.0, "num_iterations": 1, "assistants": []}
    (entry,) = toy_trainer(out, tmp_path / "store", toy_collection, **options).train()["iterations"]
    folder = out / "iteration-00"
    mined, lists = load_candidates(folder / "candidates.parquet"), load_candidates(folder / "lists.parquet")
    scores, changed = np.load(folder / "scores.npy")[0], 0
    assert (mined.lengths == lists.lengths).all()
    for start, end in pairwise(lists.offsets.tolist()):
        label = mined.passages[start:end][mined.positive[start:end]]
        passages, positive, of_row = lists.passages[start:end], lists.positive[start:end], scores[start:end]
        surer = of_row.max() > of_row[np.isin(passages, label)].max() + margin
        assert set(passages[positive]) == {*label, *passages[[of_row.argmax()] if surer else []]}
        assert not surer or of_row.argmax() == 0
        changed += surer
    assert entry["relabelled_queries"] == changed > 0
    assert "Relabelled" in (out / "report.md").read_text(encoding="utf-8")


def test_labels_that_are_believed_are_not_counted():
    run = SimpleNamespace(arguments=SimpleNamespace(relabel=None))
    lists = object()
    assert relabel_lists(run, lists) == (lists, None)


def test_the_positive_of_a_query_without_labels_is_the_first_of_its_list(tmp_path):
    """In the next iteration it counts as a label; the former one, behind it, no longer does."""
    collection = from_dictionaries("bare", {f"p{i}": f"text {i}" for i in range(4)}, {"q": "one", "r": "two"})
    positive = np.array([True, False, True, False, True])
    passages, nothing = np.array([2, 0, 1, 0, 3]), np.zeros(5, dtype=np.int64)
    lists = Candidates(np.array([0, 1]), np.array([0, 3, 5]), passages, positive, nothing, ("a",))
    save_candidates(tmp_path / "iteration-00" / "lists.parquet", lists)
    assert training_positives(collection, RunFolder(tmp_path), 1) == {"q": {"p2": 1}, "r": {"p3": 1}}


def test_a_negative_margin_is_refused(tmp_path):
    with pytest.raises(InputError, match="relabel"):
        toy_arguments(tmp_path, relabel=-1.0)
