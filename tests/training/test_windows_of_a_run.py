"""A run over windows: documents in its run files and its report, windows in its lists, the map for those who serve."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from torch import nn

from st_mta.collections import with_windows
from st_mta.errors import InputError
from st_mta.mining import load_candidates
from st_mta.scored import ScoredCandidates
from st_mta.scorers import BM25, with_view
from st_mta.training.stages.score import relabel_lists, score_lists
from st_mta.trec import read_run
from st_mta.types import Candidates, Texts, Windows
from tests.tiny import tiny_sentence_transformer
from tests.training.toy_run import toy_arguments, toy_trainer

OPTIONS = {"windows": 4, "window_stride": 2, "num_iterations": 1, "regression_epochs": 0.0, "assistants": []}


def test_a_whole_run(toy_collection, tmp_path):
    out, store = tmp_path / "out", tmp_path / "store"
    trainer = toy_trainer(out, store, toy_collection, **OPTIONS)
    report, collection = trainer.train(), trainer.collection
    assert len(collection.corpus) == 180 and report["collection"]["passages"] == 60
    assert report["collection"]["fingerprint"] == collection.over_documents.fingerprint
    assert any("60 documents are read as 180 windows" in note for note in report["collection"]["notes"])
    for path in (*(out / "runs").glob("*.trec"), out / "iteration-00" / "dev.trec"):
        for found in read_run(path).values():
            assert set(found) <= set(toy_collection.corpus.ids)
    lists = load_candidates(out / "iteration-00" / "lists.parquet")
    teacher = trainer.distillation.pool.teacher
    for row in range(len(lists)):
        passages = lists.passages[lists.offsets[row] : lists.offsets[row + 1]]
        of = collection.windows.document[passages]
        assert len(set(of)) == len(of)
        every = np.flatnonzero(np.isin(collection.windows.document, of))
        scores = teacher.score(collection.queries, collection.corpus, np.full(len(every), lists.queries[row]), every)
        best = {one: every[collection.windows.document[every] == one] for one in of}
        by_window = dict(zip(every.tolist(), scores.tolist()))
        for passage, document in zip(passages.tolist(), of):
            assert by_window[passage] == max(by_window[one] for one in best[document].tolist())
    collator = trainer.distillation.make_collator(tiny_sentence_transformer(1), nn.Identity())
    np.testing.assert_array_equal(collator.judged_as, 3 * collection.windows.document)
    assert pq.read_table(out / "windows.parquet").num_rows == 180
    assert "p1" in (out / "report.html").read_text(encoding="utf-8")


def test_misuse_is_refused(tmp_path):
    for options, message in (
        ({"window_stride": 3}, "window_stride=3 and no windows"),
        ({"best_windows": 2}, "best_windows=2 and no windows"),
        ({"windows": 3, "window_stride": 4}, "at most 3"),
        ({"windows": 0}, "windows"),
    ):
        with pytest.raises(InputError, match=message):
            toy_arguments(tmp_path, **options)


def test_documents_become_positives_with_all_their_windows():
    """The second document is best by both its windows; it takes the place of a missing label, and of a weaker one."""
    windows = Windows(Texts.from_dict(dict.fromkeys("abc", "")), np.array([0, 1, 1, 2]), np.zeros((4, 2)), 2)
    run = SimpleNamespace(
        arguments=SimpleNamespace(relabel=0.5),
        collection=SimpleNamespace(windows=windows),
        pool=SimpleNamespace(teacher=SimpleNamespace(bounded=True)),
    )
    for labelled, stage in (
        (False, lambda lists: score_lists(run, lists)),
        (True, lambda lists: relabel_lists(run, lists)[0]),
    ):
        lists = Candidates(
            np.array([0]), np.array([0, 4]), np.arange(4), np.array([labelled, False, False, False]),
            np.zeros(4, dtype=np.int64), ("a",), np.array([int(labelled), 0, 0, 0]),
        )  # fmt: skip
        found = stage(ScoredCandidates(lists, np.float32([[4, 3, 2, 4.25]]), ("T",))).candidates
        assert set(found.passages[found.positive].tolist()) == ({0, 1, 2} if labelled else {1, 2})


def test_other_texts_of_whole_documents_are_refused(toy_collection, tmp_path):
    documents, windows = toy_collection.corpus, with_windows(toy_collection, 4, 2).corpus
    every = Texts([*documents.ids, *windows.ids], [f"{key} sea" for key in (*documents.ids, *windows.ids)])

    def begin(folder, **view):
        given = {**OPTIONS, "teacher": with_view(BM25(), **view)}
        return toy_trainer(tmp_path / folder, tmp_path / "store", toy_collection, **given)

    with pytest.raises(InputError, match="do not go together yet, got windows, and 60 documents in the view.*bm25"):
        begin("refused", corpus=every.select(np.arange(60)))
    assert not (tmp_path / "refused").exists()
    begin("queries", queries=toy_collection.queries)
    begin("both", corpus=every)  # who cuts the other texts too may say so by the windows' ids
