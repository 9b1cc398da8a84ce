"""A re-ranker that searches by a matrix factorisation: exact limits, cost, and where it can be used."""

from __future__ import annotations

import numpy as np
import pytest
from sentence_transformers import CrossEncoder

from st_mta.assistants.pool import AssistantPool
from st_mta.errors import InputError
from st_mta.mining import mine
from st_mta.scorers import BM25, AnnCur, CrossEncoderScorer, FunctionScorer, PairScorer, StoredScores, load_scorer
from st_mta.scorers.factorised import approximated, best_of
from st_mta.stores import Store, text_keys
from st_mta.training.reader import reading_model
from st_mta.training.run_state import RunState
from st_mta.trec import write_run
from tests import reference
from tests.tiny import tiny_cross_encoder


class Bilinear(PairScorer):
    """Scores of rank 3 from random vectors by the texts' lengths; counts what it is asked."""

    kind = "bilinear"
    fingerprint = "bilinear-3"

    def __init__(self, rank=3, store=None):
        super().__init__("bilinear", store)
        source = np.random.default_rng(0)
        self.left, self.right = source.normal(size=(997, rank)), source.normal(size=(997, rank))

    def predict(self, queries, passages):
        left, right = ([sum(map(ord, text)) % 997 for text in texts] for texts in (queries, passages))
        return (self.left[left] * self.right[right]).sum(axis=1).astype(np.float32)


def all_scores(scorer, queries, corpus, positions):
    pairs = np.repeat(positions, len(corpus)), np.tile(np.arange(len(corpus)), len(positions))
    return scorer.score(queries, corpus, *pairs).reshape(len(positions), len(corpus))


def test_one_anchor_by_hand():
    # The query is 3/2 of the anchor query.
    scores = approximated(np.float32([[3.0]]), np.array([0]), np.float32([[2, 4, 6]]))
    assert scores.tolist() == [[3, 6, 9]]


def test_what_is_known_takes_the_place_of_what_is_approximated():
    # Two equations, one unknown: 8/5 by least squares of (1, 2) w = (2, 3).
    scores = approximated(np.float32([[2.0, 3.0]]), np.array([0, 1]), np.float32([[1, 2, 10]]))
    np.testing.assert_allclose(scores, [[2, 3, 16]], rtol=1e-6)


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
def test_it_equals_the_reference_in_loops(own):
    source = np.random.default_rng(1)
    rows, known = source.normal(size=(3, 12)).astype(np.float32), source.normal(size=(4, 5)).astype(np.float32)
    anchors = np.stack([source.permutation(12)[:5] for _ in range(4)])
    shared = anchors if own else np.tile(anchors[0], (4, 1))
    found = approximated(known, anchors if own else anchors[0], rows)
    for query in range(4):
        expected = reference.anncur(known[query].tolist(), shared[query].tolist(), rows.astype(float).tolist())
        np.testing.assert_allclose(found[query], expected, atol=1e-4)


def test_the_best_come_first_and_of_equal_ones_the_lower_column():
    assert best_of(np.float32([[1, 3, 3, 2]]), 3).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("rerank", [True, False])
def test_with_all_passages_as_anchors_it_is_the_scorers_own_ranking(queries, corpus, rerank):
    scorer, positions = Bilinear(rank=40), np.arange(25)[::-1]
    found = AnnCur(scorer, 500, 3, rerank=rerank).retrieve(queries, corpus, positions, 10)
    expected = all_scores(scorer, queries, corpus, positions)
    order = best_of(expected, 10)
    np.testing.assert_array_equal(found.passages, order)
    np.testing.assert_array_equal(found.scores, np.take_along_axis(expected, order, axis=1))


def test_what_is_re_ranked_stands_by_exact_scores_and_of_equal_ones_the_lower_position_first(queries, corpus):
    scorer = FunctionScorer(lambda queries, passages: [len(text) // 20 for text in passages], "steps", version="1")
    scorer.store = None
    found = AnnCur(scorer, 5, 3).retrieve(queries, corpus, np.arange(4), 120)
    expected = all_scores(scorer, queries, corpus, np.arange(4))
    np.testing.assert_array_equal(found.passages, best_of(expected, 120))


def test_scores_of_rank_three_are_found_from_a_few_anchors(queries, corpus):
    scorer = Bilinear()
    found = AnnCur(scorer, 12, 8, rerank=False).retrieve(queries, corpus, np.arange(25), 10)
    expected = all_scores(scorer, queries, corpus, np.arange(25))
    np.testing.assert_allclose(found.scores, -np.sort(-expected, axis=1)[:, :10], atol=1e-4)


def test_later_rounds_look_where_the_best_may_be(queries, corpus):
    scorer, positions = Bilinear(rank=20), np.arange(25)
    best = best_of(all_scores(scorer, queries, corpus, positions), 10)
    recall = {}
    for rounds in (1, 4):
        found = AnnCur(scorer, 40, 10, rounds, rerank=False).retrieve(queries, corpus, positions, 10)
        recall[rounds] = np.mean([len({*a} & {*b}) for a, b in zip(found.passages.tolist(), best.tolist())])
        assert all(len(set(row)) == 10 for row in found.passages.tolist())
    assert recall[4] > recall[1] + 0.5


def test_the_price_is_anchors_and_what_is_re_ranked(queries, corpus, tmp_path):
    scorer = Bilinear(store=Store(tmp_path))
    searching = AnnCur(scorer, 12, 4, rerank=False)
    searching.retrieve(queries, corpus, np.arange(25), 10)
    distinct = len(np.unique(text_keys(corpus)))
    assert scorer.pairs_computed == 4 * distinct + (25 - 4) * 12
    AnnCur(scorer, 12, 4).retrieve(queries, corpus, np.arange(25), 10)
    assert 0 < scorer.pairs_computed - 4 * distinct - 21 * 12 <= 21 * 10
    again = Bilinear(store=Store(tmp_path))
    AnnCur(again, 12, 4).retrieve(queries, corpus, np.arange(25), 10)
    assert again.pairs_computed == 0


def test_what_is_found_for_a_query_depends_on_no_other(queries, corpus):
    searching = AnnCur(Bilinear(rank=20), 10, 5, 2)
    together = searching.retrieve(queries, corpus, np.arange(25), 200)
    alone = AnnCur(Bilinear(rank=20), 10, 5, 2).retrieve(queries, corpus, np.array([7]), 200)
    np.testing.assert_array_equal(alone.passages[0, :20], together.passages[7, :20])
    assert (together.passages[:, 120:] == -1).all() and np.isinf(together.scores[:, 120:]).all()
    assert searching.retrieve(queries, corpus, np.zeros(0, dtype=np.int64), 3).passages.shape == (0, 3)
    assert searching.retrieve(queries, corpus, np.arange(2), 0).passages.shape == (2, 0)


def test_a_word_names_it_and_it_mines(toy_collection, store):
    word = "anncur:tests.scorers.test_function:score"
    searching = load_scorer(f"{word}#anchors=9,anchor_queries=5,rerank=false", store=store)
    assert isinstance(searching.scorer, FunctionScorer) and searching.scorer.store is store
    assert (searching.name, searching.kind, searching.can_retrieve) == (word, "anncur", True)
    assert (searching.anchors, searching.anchor_queries, searching.rerank) == (9, 5, False)
    other = load_scorer(word, store=store, rounds=3, version="2", name="me")
    assert (other.name, other.rounds, other.scorer.version) == ("me", 3, "2")
    lists = mine(toy_collection, np.arange(6), [searching], toy_collection.qrels["train"], num_candidates=4)
    assert lists.sources == ("qrels", word) and (lists.lengths == 4).all()
    pairs = lists.pair_queries, lists.passages
    texts = toy_collection.queries, toy_collection.corpus
    np.testing.assert_array_equal(searching.score(*texts, *pairs), searching.scorer.score(*texts, *pairs))
    assert searching.answer(*texts, 10) is None and searching.pairs_per_second > 0


def test_as_a_teacher_it_brings_candidates_and_other_teachers_do_not(store):
    searching, bm25 = AnnCur(Bilinear()), BM25()

    def bringing(teacher, assistants):
        run = RunState.__new__(RunState)
        run.pool = AssistantPool(teacher, assistants)
        return [scorer.name for scorer in run.retrievers(BM25(name="student"))]

    assert bringing(searching, [bm25]) == ["student", "anncur:bilinear", "bm25"]
    assert bringing(bm25, [searching]) == ["student", "anncur:bilinear"]


def test_a_loss_can_look_into_its_layers():
    inner = CrossEncoderScorer(tiny_cross_encoder(), precision="fp32")
    assert isinstance(reading_model([AnnCur(inner)], None, "attention-mse"), CrossEncoder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"anchors": 0}, "anchors"),
        ({"anchor_queries": 1.5}, "anchor_queries"),
        ({"anchors": 3, "rounds": 4}, "rounds"),
    ],
    ids=["anchors", "queries", "rounds"],
)
def test_senseless_numbers_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        AnnCur(Bilinear(), **options)


def test_scorers_of_lists_and_of_some_pairs_are_refused(tmp_path, store):
    write_run(tmp_path / "run.trec", {"q": {"p": 1.0}}, "run")
    with pytest.raises(InputError, match="knows some pairs only"):
        AnnCur(StoredScores(tmp_path / "run.trec"))
    with pytest.raises(InputError, match="depend on the list"):
        load_scorer("anncur:list:tests.scorers.test_listwise:by_place", store=store)


def test_its_fingerprint_knows_the_scorer_and_the_anchors():
    scorers = [Bilinear(), BM25()]
    options = [{}, {"anchors": 7}, {"anchor_queries": 7}, {"rounds": 2}, {"rerank": False}, {"seed": 1}]
    found = {AnnCur(scorer, **chosen).fingerprint for scorer in scorers for chosen in options}
    assert len(found) == 12
