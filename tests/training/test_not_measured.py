"""Stored scores of the training queries alone: what was not measured is no zero, and decides nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from st_mta.assistants.pool import AssistantPool
from st_mta.errors import InputError
from st_mta.evaluation.coverage import measures_if_known
from st_mta.report.wording import quality_sentence
from st_mta.scorers import BM25, BiEncoderScorer, FusedScorer, StoredScores
from st_mta.training.stages.quality import warn_if_teacher_knows_less, weight_of_teacher
from st_mta.training.stages.score import fit_dev_weights
from tests.tiny import tiny_sentence_transformer
from tests.training.toy_run import toy_arguments, toy_trainer


def scores_of_training_queries(collection, path, name, seed=0) -> StoredScores:
    """Of 12 passages of each of the 24 training queries, the relevant one first."""
    random = np.random.default_rng(seed)
    lines = []
    for query in range(24):
        passages = [query, *(random.permutation(60)[:12])]
        lines += {f"q{query} Q0 p{p} 1 {9 - rank / 3:.4f} x" for rank, p in enumerate(dict.fromkeys(passages))}
    path.write_text("\n".join(sorted(lines)) + "\n")
    return StoredScores(path, name=name)


def test_a_run_says_n_a_and_decides_nothing_by_it(toy_collection, tmp_path, caplog):
    teacher = scores_of_training_queries(toy_collection, tmp_path / "t.trec", "published")
    unknown = scores_of_training_queries(toy_collection, tmp_path / "a.trec", "also-published", seed=1)
    out = tmp_path / "out"
    changes = {"num_iterations": 1, "regression_epochs": 0.0, "fusion": "weighted", "contrastive_weight": 0.1}
    report = toy_trainer(
        out, tmp_path / "store", toy_collection, teacher=teacher, assistants=[BM25(), unknown], **changes
    ).train()
    stations = json.loads((out / "state.json").read_text())["stations"]
    assert stations["iteration-00/score"]["result"]["alpha"] == 1.0
    assert stations["iteration-00/promote"]["result"]["replaced"] != "also-published"
    assert report["recovered"] is None and "ndcg@10" not in report["teacher"]
    assert "published" not in report["development"] and "also-published" not in report["development"]
    assert [one["baseline"] for one in report["comparisons"]] == ["student_before"]
    assert "published has scores for 0 of 6 dev queries" in caplog.text
    assert "teacher not measured" in quality_sentence(report)
    page = (out / "report.md").read_text()
    assert "n/a" in page and "% of its teacher" not in page
    card = (out / "student" / "README.md").read_text()
    assert "% of its teacher" not in card and "n/a" in card


MEASURES = {"ndcg@10": 0.25}
QRELS = {query_id: {"p": 1} for query_id in "abcd"}


@pytest.mark.parametrize(("answered", "known"), [("", False), ("a", False), ("ab", True), ("abcd", True)])
def test_half_of_the_queries_is_the_least(tmp_path, answered, known):
    (tmp_path / "r.trec").write_text("a Q0 p 1 1.0 x\n")
    stored = StoredScores(tmp_path / "r.trec")
    run = {query_id: {"p": 1.0} for query_id in answered} | {"z": {}}
    assert measures_if_known(stored, run, QRELS, "dev", MEASURES) == (MEASURES if known else {})
    assert measures_if_known(FusedScorer([stored, BM25()], [1, 1]), run, QRELS, "dev", MEASURES) == (
        MEASURES if known else {}
    )
    assert measures_if_known(BM25(), run, QRELS, "dev", MEASURES) == MEASURES  # it scores everything: a true zero


def test_who_was_not_measured_is_neither_better_nor_worse(caplog):
    assert weight_of_teacher("T", ["A"], {"A": 0.9}) == 1.0
    assert weight_of_teacher("T", ["A", "B"], {"T": 0.5, "B": 0.6}) == 0.5
    assert warn_if_teacher_knows_less("T", ["A"], {"A": 0.9}) == [] and not caplog.records
    pool = AssistantPool(BM25(), [BM25(k1=1, name="a"), BM25(k1=2, name="b")])
    assert pool.replaceable({"b": 0.3}, 0.4) == "b"
    assert pool.replaceable({"b": 0.5}, 0.4) is None and pool.replaceable({}, 0.4) is None


def test_weights_are_fitted_on_those_that_were_measured(toy_collection, tmp_path):
    unknown = scores_of_training_queries(toy_collection, tmp_path / "a.trec", "unknown")
    random = BiEncoderScorer(tiny_sentence_transformer(3), name="A", precision="fp32")
    arguments = toy_arguments(tmp_path / "out")
    known = fit_dev_weights(toy_collection, [BM25()], [BM25(), random], [1.0, 0.1], arguments)
    weights = fit_dev_weights(toy_collection, [BM25()], [BM25(), unknown, random], [1.0, 1.0, 0.1], arguments)
    assert weights == pytest.approx([known[0] * 2 / 3, 1 / 3, known[1] * 2 / 3])
    assert fit_dev_weights(toy_collection, [BM25()], [unknown], [1.0], arguments) == [1.0]


def test_nothing_to_choose_by_is_refused_before_training(toy_collection, tmp_path):
    unjudged = {**toy_collection.qrels, "dev": {f"q{i}": {} for i in range(24, 30)}}
    collection = replace(toy_collection, qrels=unjudged)
    teacher = scores_of_training_queries(toy_collection, tmp_path / "t.trec", "published")
    trainer = toy_trainer(tmp_path / "out", tmp_path / "s", collection, teacher=teacher, assistants=[BM25()])
    with pytest.raises(InputError, match="knows no passage"):
        trainer.train()
