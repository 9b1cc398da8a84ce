"""The rehearsal of ``benchmarks/scale``, on three hundred passages."""

from __future__ import annotations

import json

import pytest

from benchmarks.scale.__main__ import add_result, run_part
from benchmarks.scale.measured import Measured
from benchmarks.scale.page import HELD, full_peak, page, time_factor
from benchmarks.scale.texts import first_words
from st_mta.collections import load_collection
from st_mta.training.distillation import Distillation


def test_every_stage_is_measured_once(tmp_path, capsys):
    stage = Distillation.stage
    for part in ("texts", "stages"):
        run_part(part, tmp_path / "work", 300, 60)
    assert Distillation.stage is stage
    measured = Measured(tmp_path / "work" / "measured.json")
    kinds = [found["kind"] for found in measured.stages.values()]
    for kind in (
        "load the collection",
        "BM25: index",
        "exact search",
        "score",
        "look-up",
        "run: iteration-00/score",
        "report",
    ):
        assert kind in kinds
    assert all(found["peak_mb"] >= found["left_mb"] > 0 for found in measured.stages.values())
    before = dict(measured.stages)
    measured.take("look-up again")
    measured.take("BM25: index")
    assert {**before, "look-up again": measured.stages["look-up again"]} == measured.stages
    add_result(tmp_path / "out", 300, 60, Measured(tmp_path / "work" / "measured.json"))
    add_result(tmp_path / "out", 300, 60, Measured(tmp_path / "work" / "measured.json"))
    (result,) = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (tmp_path / "out" / "result.md").read_text().count("\n| ") == len(result["stages"]) + 2 + len(HELD)


def test_texts_are_a_collection_with_the_numbers_asked_for(tmp_path):
    run_part("texts", tmp_path, 50, 20)
    collection = load_collection(tmp_path / "collection")
    assert (len(collection.corpus), len(collection.queries)) == (50, 20)
    assert {split: len(judged) for split, judged in collection.qrels.items()} == {"train": 16, "dev": 2, "test": 2}
    for query_id, judged in collection.qrels["train"].items():
        (passage_id,) = judged
        assert set(collection.queries[query_id].split()) <= set(collection.corpus[passage_id].split())
    assert len(set(first_words(20_000))) == 20_000


def a_result(passages, queries, **peaks):
    stages = {kind: {"kind": kind, "peak_mb": peak} for kind, peak in {"libraries alone": 500, **peaks}.items()}
    return {"passages": passages, "queries": queries, "stages": stages}


def test_memory_goes_on_along_the_line_through_two_sizes():
    small, large = a_result(88_000, 5_000, load=600), a_result(880_000, 50_000, load=1392)
    stage = large["stages"]["load"]
    assert full_peak(stage, large, small) == pytest.approx(1392 + 7_920_000 * 1e-3)  # 1 kB a passage
    assert full_peak({"kind": "load", "peak_mb": 590}, large, small) == 590
    assert full_peak(stage, large, None) is full_peak({"kind": "other", "peak_mb": 1}, large, small) is None


def test_time_grows_with_what_it_depends_on():
    large = a_result(880_000, 50_000)
    assert time_factor("load the collection", large) == 10
    assert time_factor("BM25: searches", large) == 100
    assert time_factor("exact search", large) == pytest.approx(10 * 500_000 / 2048)
    assert time_factor("run: iteration-00/train", large) == 1


def test_the_page_says_where_memory_was_taken_from():
    stage = {"seconds": 3600.0, "processor_seconds": 7200.0, "read_mb": 0.0, "written_mb": 100.0, "left_mb": 1}
    results = [a_result(passages, queries) for passages, queries in ((88_000, 5_000), (880_000, 50_000))]
    for result, peak in zip(results, (600, 1392)):
        peaks = {"libraries alone": 500, "load": peak}
        result["stages"] = {kind: {"kind": kind, "peak_mb": found, **stage} for kind, found in peaks.items()}
    text = page(results)
    assert "| load | 3,600.0 | 7,200.0 | 100.0 | 1,392 | 20.0 | 1.0 | 9.3 |" in text
    assert "88,000 and 880,000" in text
    assert text.index("880,000 passages, 50,000") < text.index("88,000 passages, 5,000")  # the largest first
