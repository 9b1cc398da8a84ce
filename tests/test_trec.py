from __future__ import annotations

import ir_measures
import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.evaluation import evaluate_run
from st_mta.evaluation.measures import MEASURES
from st_mta.trec import read_run, write_run


def test_scores_come_back_bit_for_bit(tmp_path):
    generator = np.random.default_rng(0)
    scores = generator.normal(size=200).astype(np.float32)
    scores[1] = np.nextafter(scores[0], np.float32(np.inf))  # neighbours in single precision stay apart
    scores[2:5] = [-np.inf, 1e-30, 3e38]
    run = {"q1": {f"p{i}": float(score) for i, score in enumerate(scores)}, "q2": {"é": 0.1 + 0.2}}
    write_run(tmp_path / "run.trec", run, tag="test")
    assert read_run(tmp_path / "run.trec") == run


def test_six_columns_ranked_by_score_with_ties_in_their_order(tmp_path):
    write_run(tmp_path / "run.trec", {"q": {"a": 1.0, "z": 2.0, "c": 2.0, "b": 2.0}}, tag="my system")
    assert (tmp_path / "run.trec").read_text() == (
        "q Q0 z 1 2.0 my_system\nq Q0 c 2 2.0 my_system\nq Q0 b 3 2.0 my_system\nq Q0 a 4 1.0 my_system\n"
    )


def test_other_tools_measure_the_same_on_the_file(tmp_path):
    generator = np.random.default_rng(1)
    ids = [f"p{number}" for number in generator.permutation(50)]
    run = {f"q{q}": dict(zip(ids, map(float, generator.integers(0, 6, size=50)))) for q in range(20)}
    qrels = {f"q{q}": {f"p{p}": int(generator.integers(0, 4)) for p in range(0, 50, 3)} for q in range(20)}
    write_run(tmp_path / "run.trec", run, tag="test")
    measures = [MEASURES[name] for name in ("ndcg@10", "map", "recall@100")]
    theirs = ir_measures.pytrec_eval.calc_aggregate(
        measures, qrels, ir_measures.read_trec_run(str(tmp_path / "run.trec"))
    )
    assert list(evaluate_run(run, qrels, ["ndcg@10", "map", "recall@100"]).values()) == pytest.approx(
        [theirs[measure] for measure in measures], abs=1e-9
    )


def test_reads_tabs_and_empty_lines(tmp_path):
    (tmp_path / "run.trec").write_text("q1\tQ0\tp1\t1\t2.5\ttag\n\n  q1 Q0  p2 2 -1e3 tag\n")
    assert read_run(tmp_path / "run.trec") == {"q1": {"p1": 2.5, "p2": -1000.0}}


@pytest.mark.parametrize(
    "line, named",
    [
        ("q1 Q0 p2 2 1.0", "5 columns at .*run.trec:2"),
        ("q1 Q0 p2 2 1.0 tag more", "7 columns at .*run.trec:2"),
        ("q1 Q0 p2 2 one tag", "'one' at .*run.trec:2"),
        ("q1 Q0 p2 2 nan tag", "'nan' at .*run.trec:2"),
        ("q1 Q0 p1 2 1.0 tag", "'p1' a second time for query 'q1' at .*run.trec:2"),
    ],
)
def test_names_the_malformed_line(tmp_path, line, named):
    (tmp_path / "run.trec").write_text(f"q1 Q0 p1 1 2.0 tag\n{line}\n")
    with pytest.raises(InputError, match=named):
        read_run(tmp_path / "run.trec")


@pytest.mark.parametrize(
    "run, named",
    [
        ({"a query": {"p": 1.0}}, "query id"),
        ({"q": {"a\tpassage": 1.0}}, "passage id"),
        ({"q": {"": 1.0}}, "passage id"),
        ({"q": {"ok": 1.0, "p": float("nan")}}, "query 'q', passage 'p'"),
        ({"q": {"": 1.0, "a b": 1.0}}, "passage id"),
    ],
)
def test_refuses_what_could_not_be_read_back_and_keeps_the_older_file(tmp_path, run, named):
    write_run(tmp_path / "run.trec", {"q": {"p": 1.0}}, tag="older")
    with pytest.raises(InputError, match=named):
        write_run(tmp_path / "run.trec", {"q0": {"p": 1.0}, **run}, tag="newer")
    assert [path.name for path in tmp_path.iterdir()] == ["run.trec"]
    assert read_run(tmp_path / "run.trec") == {"q": {"p": 1.0}}
