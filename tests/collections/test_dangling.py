"""Judgements of passages that the corpus does not have, and of unknown queries, as beir and pytrec_eval take them."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import pytrec_eval

from st_mta.collections import from_dictionaries, load_collection, read_beir
from st_mta.errors import InputError
from st_mta.evaluation import evaluate_scorer
from st_mta.mining import mine
from st_mta.scorers import BM25

CORPUS = {"d1": "otters hold hands in sleep", "d2": "bees dance for flowers", "d3": "granite forms of magma"}
QUERIES = {"q1": "how do otters sleep", "q2": "why do bees dance", "q3": "how does granite form"}


def toy(**qrels):
    return from_dictionaries("toy", CORPUS, QUERIES, qrels)


def test_a_relevant_passage_that_cannot_be_found_counts_as_in_pytrec_eval():
    judged = {"q1": {"d1": 1, "d99": 1}, "q2": {"d2": 1, "d98": 0}, "q3": {"d97": 2}}
    run, ours = evaluate_scorer(BM25(), toy(test=judged), "test")
    rows = pytrec_eval.RelevanceEvaluator(judged, {"ndcg_cut.10", "recall.100", "map", "recip_rank"}).evaluate(run)
    for name, theirs in (("ndcg@10", "ndcg_cut_10"), ("recall@100", "recall_100"), ("map", "map")):
        assert ours[name] == pytest.approx(sum(row[theirs] for row in rows.values()) / 3)
    assert ours["recall@100"] == pytest.approx((0.5 + 1 + 0) / 3)


@pytest.mark.parametrize("split", ["dev", "test", "hard"])
def test_it_stays_outside_train_and_is_noted_with_count_and_first_place(split):
    judged = {"q1": {"d1": 1, "d99": 1}, "q2": {"d98": 1}}
    collection = toy(**{split: judged})
    assert collection.qrels[split] == judged
    assert collection.notes == (
        f"2 judgements of {split} are of passages that the corpus does not have and stay: the relevant ones count as "
        f"never found, as in BEIR; the first is of the passage id 'd99' at row 1 of the judgements of {split}.",
    )


def test_it_leaves_train_and_takes_queries_along_that_are_not_trained_on_unlabelled():
    collection = toy(train={"q1": {"d99": 1, "d1": 1}, "q2": {"d98": 2}, "q3": {"d3": 0, "d97": 1}})
    assert collection.qrels["train"] == {"q1": {"d1": 1}}
    assert not len(collection.unlabelled)
    assert (
        "3 judgements of train are of passages that the corpus does not have and were left out, and with them 1"
        in (collection.notes[0])
    )
    assert "1 queries of train have no relevant passage and were left out." in collection.notes


def test_candidates_of_dev_queries_are_mined_without_it():
    collection = toy(dev={"q1": {"d99": 1, "d1": 1}, "q2": {"d98": 1}})
    lists = mine(collection, np.array([0, 1]), [BM25()], collection.qrels["dev"], num_candidates=3)
    assert lists.positive.tolist() == [True, False]


def test_judgements_of_unknown_queries_are_skipped_with_their_place(tmp_path):
    for name, texts in (("corpus", CORPUS), ("queries", QUERIES)):
        lines = [f'{{"_id": "{key}", "text": "{text}"}}\n' for key, text in texts.items()]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n\nq9\td1\t1\nq8\td9\t1\n")
    (tmp_path / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq7\td1\t1\n")
    collection = read_beir(tmp_path)
    assert collection.qrels == {"train": {}, "test": {"q1": {"d1": 1}}}
    said = "2 judgements of test are of unknown queries and were skipped, the first of the query id 'q9'"
    assert f"{said} at qrels/test.tsv:4." in collection.notes
    assert collection.queries.take_ids(collection.unlabelled) == ["q2", "q3"]


def test_judgements_of_another_collection_are_refused():
    with pytest.raises(InputError, match="query id 'x1' at row 0 of the judgements of train"):
        toy(train={"x1": {"d1": 1}}, test={"x2": {"d2": 1}})


def test_dev_queries_that_are_test_queries_are_noted():
    notes = toy(train={"q3": {"d3": 1}}, dev={"q1": {"d1": 1}}, test={"q1": {"d1": 1}, "q2": {"d2": 1}}).notes
    assert notes == ("1 of 2 queries of test have the same text as a query of dev.",)
    same_text = from_dictionaries(
        "toy", CORPUS, {"a": "x", "b": "x"}, {"dev": {"a": {"d1": 1}}, "test": {"b": {"d1": 1}}}
    )
    assert same_text.notes == ("1 of 1 queries of test have the same text as a query of dev.",)


def test_the_notes_of_a_collection_are_logged_when_it_is_loaded(tmp_path, caplog):
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "text": "  "}\n')
    with caplog.at_level(logging.INFO, "st_mta"):
        load_collection(tmp_path)
    assert f"{tmp_path.name}: 1 passage texts are empty and were kept." in caplog.messages
