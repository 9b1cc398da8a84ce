from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import pytrec_eval

from st_mta.errors import InputError
from st_mta.evaluation import best_passages, evaluate_run, evaluate_scorer, rerank
from st_mta.scorers import StoredScores
from st_mta.types import Texts


@pytest.fixture
def table():
    return np.random.default_rng(0).normal(size=(6, 12))


def test_searches_the_whole_corpus(collection, table, table_scorer):
    run, values = evaluate_scorer(table_scorer("t", table), collection, "dev", depth=5)
    assert list(run) == ["q2", "q0", "q1", "q3"]
    best = np.argsort(-table[2])[:5]
    assert list(run["q2"]) == [f"p{position:02d}" for position in best]
    assert list(run["q2"].values()) == pytest.approx(table[2, best])
    assert values == evaluate_run(run, collection.qrels["dev"])


def test_a_depth_beyond_the_corpus_is_the_corpus(collection, table, table_scorer):
    scorer = table_scorer("t", table)
    asked = []
    search = scorer.retrieve
    scorer.retrieve = lambda queries, corpus, rows, k: asked.append(k) or search(queries, corpus, rows, k)
    run, _ = evaluate_scorer(scorer, collection, "test", depth=1000)
    assert {len(passages) for passages in run.values()} == {12}
    assert asked == [12]


def test_re_ranks_only_the_best_of_the_first_stage(collection, table, table_scorer):
    first_stage = table_scorer("first", -table).retrieve(None, None, np.array([5, 0, 1, 2, 3]), 8)
    run, _ = evaluate_scorer(
        table_scorer("second", table, can_retrieve=False), collection, "dev", depth=4, first_stage=first_stage
    )
    for query_id, position in (("q2", 2), ("q0", 0), ("q1", 1), ("q3", 3)):
        kept = np.argsort(table[position])[:4]
        expected = sorted(kept, key=lambda passage: -table[position, passage])
        assert list(run[query_id]) == [f"p{passage:02d}" for passage in expected]


def test_a_searching_scorer_ignores_the_first_stage(collection, table, table_scorer):
    first_stage = table_scorer("first", -table).retrieve(None, None, np.arange(6), 3)
    scorer = table_scorer("t", table)
    with_stage = evaluate_scorer(scorer, collection, "dev", first_stage=first_stage)
    assert with_stage == evaluate_scorer(scorer, collection, "dev")


def test_passages_a_stored_scorer_does_not_know_are_left_out(collection, table, table_scorer):
    first_stage = table_scorer("first", -table).retrieve(None, None, np.arange(6), 12)
    table[0, 3:] = np.nan
    table[1] = np.nan
    run, values = evaluate_scorer(
        table_scorer("stored", table, can_retrieve=False), collection, "dev", first_stage=first_stage
    )
    assert set(run["q0"]) == {"p00", "p01", "p02"}
    assert run["q1"] == {}
    assert 0 < values["recall@100"] < 1


def test_re_ranking_scores_each_pair_once_and_no_padding(collection, table, table_scorer):
    scorer = table_scorer("t", table, can_retrieve=False)
    first_stage = table_scorer("first", table).retrieve(None, None, np.array([4, 2]), 3)
    first_stage.passages[0, 2] = -1
    asked = []
    scorer.score = lambda queries, corpus, q, p: asked.extend(zip(q.tolist(), p.tolist())) or table[q, p]
    again = rerank(scorer, collection, first_stage, depth=3)
    assert len(asked) == len(set(asked)) == 5
    assert again.scores[0, 2] == -np.inf
    np.testing.assert_array_equal(again.scores[1], table[2, again.passages[1]].astype(np.float32))


@pytest.mark.parametrize("can_retrieve", [True, False])
def test_the_query_itself_is_no_result(collection, table, table_scorer, can_retrieve):
    corpus = Texts(["q2", *collection.corpus.ids[1:]], ["where is water", *collection.corpus.take(range(1, 12))])
    collection = replace(collection, corpus=corpus)
    table[2, 0] = 100.0
    first_stage = table_scorer("first", table).retrieve(None, None, np.arange(6), 12)
    scorer = table_scorer("t", table, can_retrieve)
    run, _ = evaluate_scorer(scorer, collection, "dev", depth=4, first_stage=first_stage)
    assert "q2" not in run["q2"]
    assert {len(passages) for passages in run.values()} == {4}


def test_the_relevance_level_reaches_the_measures(collection, table, table_scorer):
    run, values = evaluate_scorer(table_scorer("t", table), collection, "dev", relevance_level=2)
    assert values == evaluate_run(run, collection.qrels["dev"], relevance_level=2)
    assert values["map"] != evaluate_run(run, collection.qrels["dev"])["map"]


@pytest.mark.parametrize("depth, expected", [(4, 5), (12, 12)])
def test_a_first_stage_that_searches_is_asked_for_one_passage_more(
    collection, table, table_scorer, monkeypatch, depth, expected
):
    first, asked = table_scorer("first", -table), []
    search = first.retrieve
    monkeypatch.setattr(
        first, "retrieve", lambda q, c, rows, k: asked.append((rows.tolist(), k)) or search(q, c, rows, k)
    )
    second = table_scorer("second", table, can_retrieve=False)
    given = evaluate_scorer(second, collection, "dev", depth=depth, first_stage=first)
    assert asked == [([2, 0, 1, 3], expected)]
    passages = best_passages(table_scorer("first", -table), collection, np.array([2, 0, 1, 3]), depth)
    assert passages.passages.shape == (4, expected)
    assert given == evaluate_scorer(second, collection, "dev", depth=depth, first_stage=passages)


def test_a_searching_scorer_asks_no_first_stage(collection, table, table_scorer):
    first = table_scorer("first", table, can_retrieve=False)
    first.retrieve = None
    scorer = table_scorer("t", table)
    assert evaluate_scorer(scorer, collection, "dev", first_stage=first) == evaluate_scorer(scorer, collection, "dev")


def test_a_re_ranker_needs_a_first_stage_that_searches(collection, table, table_scorer):
    cross = table_scorer("cross", table, can_retrieve=False)
    with pytest.raises(InputError, match="'cross'.*got none.*first_stage="):
        evaluate_scorer(cross, collection, "dev")
    with pytest.raises(InputError, match="'cross'.*'other', which only re-ranks too"):
        evaluate_scorer(cross, collection, "dev", first_stage=table_scorer("other", table, can_retrieve=False))


@pytest.mark.parametrize("queries, missing", [([0, 1, 2], 1), ([], 4), ([5], 4)])
def test_a_first_stage_must_be_complete(collection, table, table_scorer, queries, missing):
    first_stage = table_scorer("first", table).retrieve(None, None, np.array(queries, dtype=np.int64), 3)
    with pytest.raises(InputError, match=f"{missing} of 4 queries"):
        evaluate_scorer(table_scorer("cross", table, can_retrieve=False), collection, "dev", first_stage=first_stage)


def test_a_split_without_judgements(collection, table, table_scorer):
    with pytest.raises(InputError, match="'train'"):
        evaluate_scorer(table_scorer("t", table), collection, "train")


def run_file(tmp_path, rows):
    path = tmp_path / "run.trec"
    path.write_text("".join(f"{query} Q0 {passage} 1 {score!r} t\n" for query, passage, score in rows))
    return StoredScores(path, name="run")


def test_a_run_of_a_larger_corpus_measures_as_in_pytrec_eval(collection, tmp_path):
    source = np.random.default_rng(0)
    ids = [*collection.corpus.ids, *(f"{'ax'[number % 2]}{number}" for number in range(40))]
    rows = [(q, p, float(source.integers(0, 4))) for q in collection.queries.ids for p in source.permutation(ids)[:48]]
    scorer, qrels = run_file(tmp_path, rows), collection.qrels["dev"]
    run, ours = evaluate_scorer(scorer, collection, "dev")
    whole = {q: {p: s for asked, p, s in rows if asked == q} for q in qrels}
    assert run == whole
    theirs = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "map", "recall.100"}).evaluate(whole)
    for name, measure in (("ndcg@10", "ndcg_cut_10"), ("map", "map"), ("recall@100", "recall_100")):
        assert ours[name] == pytest.approx(np.mean([row[measure] for row in theirs.values()]))
    best = pytrec_eval.RelevanceEvaluator(qrels, {"recall.25"}).evaluate(whole)
    _, cut_at_25 = evaluate_scorer(scorer, collection, "dev", depth=25)
    assert cut_at_25["recall@100"] == pytest.approx(np.mean([row["recall_25"] for row in best.values()]))
    assert 0 < cut_at_25["recall@100"] < ours["recall@100"]


def test_ten_unknown_passages_before_the_relevant_one_leave_nothing(collection, tmp_path):
    rows = [(q, f"x{n}", 100.0 - n) for q in collection.qrels["test"] for n in range(10)]
    rows += [("q4", "p10", 1.0), ("q5", "p11", 1.0)]
    assert evaluate_scorer(run_file(tmp_path, rows), collection, "test")[1]["ndcg@10"] == 0.0


def test_queries_that_a_run_does_not_cover_are_named(collection, tmp_path, caplog):
    rows = [("q0", "p00", 1.0), ("q3", "p05", 1.0), ("q4", "p10", 1.0)]
    run, _ = evaluate_scorer(run_file(tmp_path, rows), collection, "dev")
    assert run == {"q2": {}, "q0": {"p00": 1.0}, "q1": {}, "q3": {"p05": 1.0}}
    (record,) = caplog.records
    assert "run has no passage for 2 of 4 judged queries (50%) of toy, split dev (the first is 'q2')" in record.message


def test_the_query_itself_is_no_result_of_a_run_file(collection, tmp_path):
    rows = [("q2", "q2", 3.0), ("q2", "p03", 2.0), ("q2", "p09", 1.0)]
    run, _ = evaluate_scorer(run_file(tmp_path, rows), collection, "dev", depth=1)
    assert run["q2"] == {"p03": 2.0}
