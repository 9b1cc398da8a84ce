"""From windows to documents: sums of the best, rankings, and the three that measure."""

from __future__ import annotations

import numpy as np
import pytest

from st_mta.collections import from_dictionaries, with_windows
from st_mta.errors import InputError
from st_mta.evaluation import CollectionEvaluator, best_passages, evaluate_scorer
from st_mta.evaluation.documents import DocumentScorer, documents_of, refuse_finished, sum_of_best
from st_mta.scorers import BiEncoderScorer, CrossEncoderScorer, StoredScores
from st_mta.types import Lists, Retrieved, Scorer
from tests import reference
from tests.tiny import WORDS, tiny_cross_encoder, tiny_sentence_transformer


class Table(Scorer):
    """Scores of windows by hand; searches by sorting them, and counts how often."""

    name, kind, fingerprint, can_retrieve = "table", "stored", "by hand", True

    def __init__(self, scores):
        self.scores, self.depths = np.asarray(scores, dtype=np.float32), []

    def score(self, queries, corpus, query_positions, passage_positions):
        return self.scores[query_positions, passage_positions]

    def retrieve(self, queries, corpus, query_positions, k):
        self.depths.append(k)
        scores = self.scores[query_positions]
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return Retrieved(query_positions, order, np.take_along_axis(scores, order, axis=1))


def cut(lengths, best=1):
    """A collection of documents with so many windows of one word each."""
    corpus = {f"d{i}": " ".join(f"{i}w{j}" for j in range(length)) for i, length in enumerate(lengths)}
    collection = from_dictionaries("made", corpus, {"q": "a", "r": "b"}, {"dev": {"q": {"d1": 1}, "r": {"d0": 1}}})
    return with_windows(collection, 1, 1, best)


def test_sums_of_the_best_against_loops():
    source = np.random.default_rng(0)
    lengths = source.integers(1, 6, 50)
    scores = source.normal(size=lengths.sum()).astype(np.float32)
    scores[source.random(len(scores)) < 0.3] = np.nan
    groups = np.split(scores, np.cumsum(lengths)[:-1])
    for best in (1, 2, 9):
        known = [[None if np.isnan(one) else float(one) for one in group] for group in groups]
        expected = [reference.document_score(group, best) for group in known]
        found = sum_of_best(scores, lengths, best)
        np.testing.assert_allclose(found, [np.nan if one is None else one for one in expected], rtol=1e-6)


@pytest.mark.parametrize(("best", "expected"), [(1, [2, 1, 0]), (2, [1, 2, 0])])
def test_rankings_by_hand(best, expected):
    """Windows 0-1 are of document 0, 2-4 of 1, 5 of 2."""
    windows = cut([2, 3, 1], best).windows
    found = Retrieved(np.array([0]), np.array([[5, 3, 2, 0, 1, -1]]), np.float32([[9, 8, 4, 3, 3, 100]]))
    ranked = documents_of(found, windows, 4)
    assert ranked.passages.tolist() == [[*expected, -1]]
    sums = {1: [9, 8, 3], 2: [12, 9, 6]}[best]
    assert ranked.scores.tolist() == [[*sums, -np.inf]]
    assert documents_of(found, windows, 1).passages.tolist() == [expected[:1]]


def test_ties_go_to_the_document_further_up():
    windows = cut([1, 1, 1]).windows
    found = Retrieved(np.array([0]), np.array([[2, 0, 1]]), np.float32([[1, 1, 1]]))
    assert documents_of(found, windows, 3).passages.tolist() == [[0, 1, 2]]


def test_a_search_goes_on_until_there_are_enough_documents():
    """The 30 best windows are of one document."""
    collection = cut([30, *[1] * 9])
    table = Table([np.concatenate([np.arange(30) + 100, np.arange(9)])] * 2)
    found = DocumentScorer(table, collection).retrieve(
        collection.queries, collection.over_documents.corpus, np.array([0, 1]), 3
    )
    assert found.passages.tolist() == [[0, 9, 8]] * 2 and table.depths == [12, 24, 39]


@pytest.mark.parametrize("best", [1, 2])
def test_scores_and_searches_are_of_one_mind(best):
    source = np.random.default_rng(1)
    collection = cut(source.integers(1, 5, 12).tolist(), best)
    scores = source.normal(size=(2, len(collection.corpus))).astype(np.float32)
    scorer, documents = DocumentScorer(Table(scores), collection), collection.over_documents.corpus
    queries, every = np.repeat([0, 1], 12), np.tile(np.arange(12), 2)
    found = scorer.score(collection.queries, documents, queries, every).reshape(2, 12)
    of = collection.windows.document
    by_loops = [[reference.document_score(row[of == one].tolist(), best) for one in range(12)] for row in scores]
    np.testing.assert_allclose(found, by_loops, rtol=1e-6)
    lists = Lists(np.array([1, 0]), np.array([0, 3, 15]), np.array([4, 2, 11, *range(12)]))
    in_lists = scorer.score_lists(collection.queries, documents, lists)
    np.testing.assert_array_equal(in_lists, [*found[1, [4, 2, 11]], *found[0]])
    ranked = scorer.retrieve(collection.queries, documents, np.array([0, 1]), 12)
    np.testing.assert_array_equal(ranked.passages, np.argsort(-found, axis=1, kind="stable"))
    np.testing.assert_allclose(ranked.scores, -np.sort(-found, axis=1))


def test_everything_that_measures_measures_documents(tmp_path):
    """A bi-encoder, a re-ranker and the host's evaluator, against documents scored one by one."""
    source = np.random.default_rng(2)
    corpus = {f"d{i}": " ".join(source.choice(WORDS[26:], source.integers(3, 12))) for i in range(20)}
    queries = {f"q{i}": " ".join(corpus[f"d{i}"].split()[-3:]) for i in range(4)}
    plain = from_dictionaries("made", corpus, queries, {"dev": {f"q{i}": {f"d{i}": 1} for i in range(4)}})
    collection, model = with_windows(plain, 4, 2), tiny_sentence_transformer(3)
    bi, cross = BiEncoderScorer(model, precision="fp32"), CrossEncoderScorer(tiny_cross_encoder(2), precision="fp32")
    run, measures = evaluate_scorer(bi, collection, "dev", depth=20)
    similar = model.similarity(
        model.encode(list(queries.values())), model.encode(collection.corpus.take(range(len(collection.corpus))))
    ).numpy()
    for row, query in enumerate(queries):
        best = [similar[row, collection.windows.document == one].max() for one in range(20)]
        np.testing.assert_allclose([run[query][f"d{one}"] for one in range(20)], best, atol=1e-5)
    evaluator = CollectionEvaluator(collection, "dev", depth=20)
    assert evaluator(model)[evaluator.primary_metric] == pytest.approx(measures["ndcg@10"])
    assert set(evaluator.search(model)["q0"]) == set(corpus)
    for first_stage in (bi, best_passages(bi, collection, collection.queries_of("dev"), 5)):
        reranked, _ = evaluate_scorer(cross, collection, "dev", depth=5, first_stage=first_stage)
        assert {query: set(found) for query, found in reranked.items()} == {
            query: set(sorted(found, key=lambda one: -found[one])[:5]) for query, found in run.items()
        }
    of, first = collection.windows.document, next(iter(reranked["q0"]))
    windows = np.flatnonzero(of == plain.corpus.positions([first])[0])
    scores = cross.score(collection.queries, collection.corpus, np.zeros(len(windows), dtype=np.int64), windows)
    assert len(windows) > 1 and reranked["q0"][first] == pytest.approx(float(scores.max()))


def test_scores_that_are_given_are_refused(tmp_path):
    (tmp_path / "run.trec").write_text("q Q0 d1 1 3.5 x\n")
    collection = cut([2, 3])
    refuse_finished([StoredScores(tmp_path / "run.trec")], collection.over_documents)
    with pytest.raises(InputError, match="scorers that read windows"):
        refuse_finished([StoredScores(tmp_path / "run.trec")], collection)


def test_where_a_sum_counts_all_windows_of_what_is_found_do():
    """Of document 0 both windows are good, of the others one is better: by the windows found alone it comes last."""
    collection = cut([2] * 10, best=2)
    scores = np.full(20, -50.0)
    scores[::2] = 100 - np.arange(10)
    scores[0], scores[1] = 90.5, 90
    table = Table([scores] * 2)
    found = DocumentScorer(table, collection).retrieve(
        collection.queries, collection.over_documents.corpus, np.array([0, 1]), 1
    )
    assert found.passages.tolist() == [[1]] * 2 and table.depths == [8]
    deeper = DocumentScorer(table, collection).retrieve(
        collection.queries, collection.over_documents.corpus, np.array([0, 1]), 2
    )
    assert deeper.passages.tolist() == [[0, 1]] * 2 and deeper.scores.tolist() == [[180.5, 49]] * 2


@pytest.mark.parametrize(("best", "depth"), [(2, 3), (3, 20)])
def test_sums_are_those_of_all_windows_in_both_that_search(monkeypatch, best, depth):
    """Against a loop in float64 over the whole corpus, which passes through in small blocks."""
    monkeypatch.setattr("st_mta.evaluation.evaluator.PASSAGES_PER_BLOCK", 7)
    source = np.random.default_rng(3)
    corpus = {f"d{i}": " ".join(source.choice(WORDS[26:], length)) for i, length in enumerate([1, 40] * 10)}
    queries = {f"q{i}": " ".join(source.choice(WORDS[26:], 3)) for i in range(5)}
    judged = {"dev": {query: {"d1": 1} for query in queries}}
    collection = with_windows(from_dictionaries("made", corpus, queries, judged), 4, 2, best)
    model = tiny_sentence_transformer(3)
    sides = model.encode(list(queries.values())), model.encode(collection.corpus.take(range(len(collection.corpus))))
    similar = np.asarray(model.similarity(*sides), dtype=np.float64)
    of = collection.windows.document
    sums = [[reference.document_score(row[of == one].tolist(), best) for one in range(20)] for row in similar]
    runs = [CollectionEvaluator(collection, "dev", depth=depth).search(model)]
    scorer = BiEncoderScorer(model, precision="fp32")
    runs.append(evaluate_scorer(scorer, collection, "dev", depth=depth)[0])
    for run in runs:
        for row, query in zip(np.array(sums), queries):
            order = np.argsort(-row, kind="stable")[:depth]
            assert list(run[query]) == [f"d{one}" for one in order]
            np.testing.assert_allclose(list(run[query].values()), row[order], atol=1e-5)
