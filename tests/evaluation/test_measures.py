from __future__ import annotations

import math
import random
import resource

import numpy as np
import pytest
import pytrec_eval

from st_mta.errors import InputError
from st_mta.evaluation import MEASURES, evaluate_run, per_query
from tests.evaluation.reference_measures import REFERENCE, mean


def random_case(seed, *, ties):
    """30 judged queries, some without an answer, some without a relevant passage, and runs of up to 150 passages."""
    generator = random.Random(seed)
    passages = [f"p{number}" for number in range(200)]
    qrels, run = {}, {}
    for number in range(30):
        judged = generator.sample(passages, generator.randint(1, 20))
        qrels[f"q{number}"] = {passage_id: generator.choice([0, 0, 1, 2, 3]) for passage_id in judged}
        found = generator.sample(passages, generator.randint(0, 150)) if number % 7 else []
        score = (lambda: float(generator.randint(0, 5))) if ties else (lambda: generator.gauss(0, 3))
        run[f"q{number}"] = {passage_id: score() for passage_id in found}
    run["not judged"] = {"p1": 1.0}
    del run["q0"]
    return run, qrels


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("measure", MEASURES)
def test_equals_the_loops(measure, ties):
    run, qrels = random_case(3, ties=ties)
    assert evaluate_run(run, qrels)[measure] == pytest.approx(mean(measure, run, qrels), abs=1e-6)
    expected = {query_id: REFERENCE[measure](run.get(query_id, {}), qrels[query_id]) for query_id in qrels}
    assert per_query(run, qrels, measure) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("measure, name", [("ndcg@10", "ndcg_cut_10"), ("map", "map"), ("recall@100", "recall_100")])
def test_equals_trec_eval(measure, name, ties):
    run, qrels = random_case(4, ties=ties)
    theirs = pytrec_eval.RelevanceEvaluator(qrels, {name.replace("_cut_10", "_cut.10").replace("_100", ".100")})
    values = {query_id: value[name] for query_id, value in theirs.evaluate(run).items()}
    ours = per_query(run, qrels, measure)
    assert {query_id: ours[query_id] for query_id in values} == pytest.approx(values, abs=1e-6)
    assert evaluate_run(run, qrels, [measure])[measure] == pytest.approx(sum(values.values()) / len(qrels), abs=1e-6)


def test_mrr_ranks_ties_as_trec_eval_does():
    run, qrels = random_case(5, ties=True)
    theirs = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(run)
    ours = per_query(run, qrels, "mrr@10")
    for query_id, values in theirs.items():
        value = values["recip_rank"]
        assert ours[query_id] == pytest.approx(value if value >= 0.1 else 0.0, abs=1e-6)


@pytest.mark.parametrize("measure", MEASURES)
def test_scores_that_differ_only_in_double_precision_are_ties(measure):
    qrels = {"q": {"a": 1}}
    run = {"q": {"a": 1.0 + 1e-9, "b": 1.0}}  # trec_eval puts b first, since its id is higher
    assert per_query(run, qrels, measure)["q"] == pytest.approx(REFERENCE[measure](run["q"], qrels["q"]), abs=1e-6)
    assert per_query(run, qrels, "mrr@10")["q"] == 0.5


def test_values_worked_by_hand():
    qrels = {"q": {"a": 2, "b": 1, "c": 0}}
    run = {"q": {"c": 3.0, "b": 2.0, "a": 1.0}}
    gained = 1 / math.log2(3) + 2 / math.log2(4)
    best = 2 / math.log2(2) + 1 / math.log2(3)
    expected = {"ndcg@10": gained / best, "mrr@10": 1 / 2, "map": (1 / 2 + 2 / 3) / 2, "recall@100": 1.0}
    assert evaluate_run(run, qrels) == pytest.approx(expected, abs=1e-6)


def test_grades_count_in_ndcg():
    run = {"q": {"a": 2.0, "b": 1.0}}
    graded = evaluate_run(run, {"q": {"a": 1, "b": 2}}, ["ndcg@10"])["ndcg@10"]
    assert graded < evaluate_run(run, {"q": {"a": 1, "b": 1}}, ["ndcg@10"])["ndcg@10"] == 1.0


def test_a_passage_is_relevant_from_grade_one():
    run = {"q": {"a": 2.0, "b": 1.0}}
    assert evaluate_run(run, {"q": {"a": 1}}, ["mrr@10"])["mrr@10"] == 1.0
    assert evaluate_run(run, {"q": {"a": 0, "b": 1}}, ["mrr@10"])["mrr@10"] == 0.5


def test_the_relevance_level_moves_every_measure_but_ndcg():
    run, qrels = {"q": {"a": 3.0, "b": 2.0}}, {"q": {"a": 1, "b": 2, "c": 3}}
    first, second = evaluate_run(run, qrels), evaluate_run(run, qrels, relevance_level=2)
    assert second == pytest.approx({**first, "mrr@10": 1 / 2, "map": 1 / 4, "recall@100": 1 / 2})
    assert per_query(run, qrels, "map", relevance_level=2) == {"q": 0.25}


@pytest.mark.parametrize("measure", MEASURES)
def test_a_judged_query_without_a_relevant_passage_counts_zero(measure):
    run = {"q1": {"a": 2.0}, "q2": {"a": 1.0, "b": 2.0}}
    assert per_query(run, {"q1": {"a": 1}, "q2": {"a": 0}}, measure) == {"q1": 1.0, "q2": 0.0}


def test_cut_offs():
    qrels = {"q": {"relevant": 1}}
    run = {"q": {**{f"p{rank}": 100.0 - rank for rank in range(10)}, "relevant": 0.0}}
    at_eleven = evaluate_run(run, qrels)
    assert at_eleven == pytest.approx({"ndcg@10": 0, "mrr@10": 0, "map": 1 / 11, "recall@100": 1})


def test_a_query_without_an_answer_counts_zero_and_an_unjudged_one_not_at_all():
    qrels = {"q1": {"a": 1}, "q2": {"a": 1}, "q3": {"a": 1}, "q4": {"b": 1}}
    run = {"q1": {"a": 1.0}, "q2": {}, "unjudged": {"a": 1.0}, "q4": {"a": 1.0}}
    assert evaluate_run(run, qrels) == pytest.approx(dict.fromkeys(MEASURES, 0.25))
    assert per_query(run, qrels, "map") == {"q1": 1.0, "q2": 0.0, "q3": 0.0, "q4": 0.0}
    assert list(per_query(run, qrels, "map")) == list(qrels)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_order_within_a_run_does_not_matter(measure):
    qrels = {"q": {"b": 1, "c": 2}}
    forth, back = {"a": 1.0, "b": 1.0, "c": 1.0}, {"c": 1.0, "b": 1.0, "a": 1.0}
    assert per_query({"q": forth}, qrels, measure) == per_query({"q": back}, qrels, measure)


def test_only_the_measures_asked_for_in_their_order():
    assert list(evaluate_run({"q": {"a": 1.0}}, {"q": {"a": 1}}, ["map", "ndcg@10"])) == ["map", "ndcg@10"]


@pytest.mark.parametrize(
    "run, qrels, measures, named",
    [
        ({"q": {"a": 1.0}}, {"q": {"a": 1}}, ["ndcg@20"], "ndcg@20"),
        ({"q": {"a": 1.0}}, {}, ["map"], "empty qrels"),
        ({"q": {"a": 1.0, "b": math.nan}}, {"q": {"a": 1}}, ["map"], "'b' of query 'q'"),
    ],
    ids=["unknown measure", "no judgements", "NaN"],
)
def test_refuses(run, qrels, measures, named):
    with pytest.raises(InputError, match=named):
        evaluate_run(run, qrels, measures)


def test_scores_and_grades_of_numpy_and_sets_of_passages_measure_as_pythons_own():
    run = {"q": {f"p{i}": 1 / (i + 1) for i in range(9)}, "r": {"p1": 2}}
    qrels = {"q": {"p2": 1, "p5": 1}, "r": {"p1": 1}}
    expected = evaluate_run(run, qrels)
    numpy_run = {query: {key: np.float32(score) for key, score in row.items()} for query, row in run.items()}
    numpy_qrels = {query: {key: np.int64(grade) for key, grade in row.items()} for query, row in qrels.items()}
    assert evaluate_run(numpy_run, numpy_qrels) == expected
    assert evaluate_run(run, {"q": {"p2", "p5"}, "r": ["p1"]}) == expected
    assert per_query(numpy_run, {"q": ("p2", "p5")}, "map") == per_query(run, {"q": qrels["q"]}, "map")


@pytest.mark.parametrize("judged", [{"p1": 0.5}, {"p1": "1"}, {"p1": 2**63}, "p1", None])
def test_what_is_no_judgement_is_refused_with_its_query(judged):
    with pytest.raises(InputError, match="for query 'q'"):
        evaluate_run({"q": {"p1": 1.0}}, {"q": judged})


def test_high_grades_are_measured_as_trec_eval_measures_them(monkeypatch):
    """By our own sum, since trec_eval would need memory for every grade up to the highest."""
    generator = np.random.default_rng(0)
    run = {f"q{q}": {f"p{p}": float(generator.integers(0, 9)) for p in range(30)} for q in range(20)}
    qrels = {f"q{q}": {f"p{p}": int(generator.integers(-1, 500)) for p in range(0, 40, 3)} for q in range(20)}
    expected = evaluate_run(run, qrels, relevance_level=2)
    monkeypatch.setattr("st_mta.evaluation.measures.LARGEST_GRADE", 300)
    assert evaluate_run(run, qrels, relevance_level=2) == pytest.approx(expected, abs=1e-12)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    values = evaluate_run(run, {**qrels, "q0": {"p1": 10**9, "p2": 1}, "q1": {"p3": 10**15}})
    assert 0 < values["ndcg@10"] < 1 and values["recall@100"] > 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kilobytes


@pytest.mark.parametrize("run", [[("q", "a")], {"q": ["a"]}, {"q": {"a": "good"}}, {"q": {"a": [1]}}])
def test_what_is_no_run_is_refused(run):
    with pytest.raises(InputError, match="query id -> passage id -> score"):
        evaluate_run(run, {"q": {"a": 1}})
