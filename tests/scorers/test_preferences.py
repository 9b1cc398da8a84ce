"""Scorers that compare two passages: each pair once, in an order that favours nobody, and what becomes of it."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch

from st_mta.errors import InputError
from st_mta.scored import score_all
from st_mta.scorers import BM25, FusedScorer, PairwiseFunctionScorer, PairwiseScorer, load_scorer
from st_mta.stores import Store
from st_mta.types import Candidates, Lists
from tests import reference


def longer(queries, first, second):
    """The longer passage wins, the more surely the longer."""
    return [1 / (1 + math.exp((len(b) - len(a)) / 10)) for a, b in zip(first, second)]


def first_one(queries, first, second):
    """Likes whatever stands first."""
    return [0.9] * len(queries)


class Judge:
    """Counts what it compares, and fails or errs at one of its calls."""

    version = "1"

    def __init__(self, fails=None, wrong=None, answer=longer):
        self.fails, self.wrong, self.answer = fails, wrong, answer
        self.calls, self.asked = 0, Counter()

    def __call__(self, queries, first, second):
        self.calls += 1
        if self.calls == self.fails:
            raise TimeoutError("no answer")
        self.asked.update(zip(queries, first, second))
        found = self.answer(queries, first, second)
        return [self.wrong, *found[1:]] if self.wrong is not None and self.calls == 1 else found


@pytest.fixture
def lists():
    """12 lists of 0 to 5 of 120 passages."""
    random = np.random.default_rng(5)
    lengths = random.integers(0, 6, 12)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Lists(random.integers(0, 6, 12), offsets, random.integers(0, 120, offsets[-1]))


def test_scores_are_those_of_the_reference_over_each_list(queries, corpus, lists, store):
    scorer = PairwiseFunctionScorer(Judge(), "judge", store, prior=0.5)
    scores = scorer.score_lists(queries, corpus, lists)
    for row in range(len(lists)):
        entries = slice(lists.offsets[row], lists.offsets[row + 1])
        shown = corpus.take(lists.passages[entries])
        distinct = list(dict.fromkeys(shown))
        wins = [[longer([""], [a], [b])[0] if a != b else 0.0 for b in distinct] for a in distinct]
        expected = dict(zip(distinct, reference.bradley_terry(wins, 0.5)))
        np.testing.assert_allclose(scores[entries], [expected[text] for text in shown], atol=1e-5)


def test_a_pair_is_compared_once_whatever_lists_it_is_in(queries, corpus, tmp_path):
    lists = Lists(np.array([0, 0, 1]), np.array([0, 3, 7, 9]), np.array([1, 2, 3, 3, 2, 4, 1, 1, 2]))
    judge = Judge()
    scorer = PairwiseFunctionScorer(judge, "judge", Store(tmp_path), part_size=2)
    scores = scorer.score_lists(queries, corpus, lists)
    pairs = Counter((query, frozenset(pair)) for query, *pair in judge.asked.elements())
    assert len(pairs) == 6 + 1 and set(pairs.values()) == {1} and scorer.pairs_computed == 7
    again = PairwiseFunctionScorer(Judge(), "judge", Store(tmp_path))
    np.testing.assert_array_equal(again.score_lists(queries, corpus, lists), scores)
    assert again.function.calls == 0 and (again.store.ledger.pairs_scored, again.store.ledger.pairs_reused) == (0, 10)
    some = Judge()
    PairwiseFunctionScorer(some, "judge", Store(tmp_path), comparisons=2, prior=1.0).score_lists(
        queries, corpus, lists
    )
    assert some.calls == 0


def test_with_a_budget_each_passage_is_compared_a_few_times(queries, corpus, store):
    judge = Judge()
    passages = np.arange(40)
    lists = Lists(np.array([2]), np.array([0, 40]), passages)
    scores = PairwiseFunctionScorer(judge, "judge", store, comparisons=4).score_lists(queries, corpus, lists)
    often = Counter(text for _, *pair in judge.asked for text in pair)
    assert set(often.values()) == {4}
    lengths = np.array([len(text) for text in corpus.take(passages)])
    assert np.corrcoef(scores, lengths)[0, 1] > 0.95


def test_a_liking_for_the_first_place_is_spread_and_in_both_orders_gone(queries, corpus, store):
    lists = Lists(np.array([0]), np.array([0, 30]), np.arange(30))
    one = PairwiseFunctionScorer(Judge(answer=first_one), "liking", store)
    scores = one.score_lists(queries, corpus, lists)
    shown_first = Counter(first for _, first, _ in one.function.asked)
    assert 5 < min(shown_first.values()) and max(shown_first.values()) < 24
    assert 0.1 < np.std(scores) < 0.8  # a place that decided would spread over more than 5
    both = PairwiseFunctionScorer(Judge(answer=first_one), "liking", store, both_orders=True)
    np.testing.assert_allclose(both.score_lists(queries, corpus, lists), 0, atol=1e-6)
    distinct = len(set(corpus.take(range(30))))
    assert sum(both.function.asked.values()) == distinct * (distinct - 1) / 2  # the other order alone
    assert both.fingerprint != one.fingerprint and both.preference_fingerprint == one.preference_fingerprint


def test_what_was_paid_for_is_kept_through_errors(queries, corpus, lists, tmp_path):
    totals = Counter()
    for judge in (Judge(fails=1), Judge(fails=3), Judge(wrong=1.5), Judge(wrong=float("nan")), Judge()):
        scorer = PairwiseFunctionScorer(judge, "judge", Store(tmp_path), part_size=5)
        try:
            scorer.score_lists(queries, corpus, lists)
        except InputError as error:
            message = str(error)
            assert "a probability for every comparison from judge" in message
            assert "TimeoutError: no answer" in message or " for query 'q" in message
        totals.update(judge.asked)
    assert Counter(totals.values()) == {1: len(totals) - 1, 3: 1}  # the one that was answered wrongly, twice


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"comparisons": 0}, "comparisons"),
        ({"prior": 0.0}, "prior"),
        ({"part_size": 1.5}, "part_size"),
    ],
    ids=["comparisons", "prior", "part_size"],
)
def test_senseless_numbers_are_refused(options, message, store):
    with pytest.raises(InputError, match=message):
        PairwiseFunctionScorer(longer, store=store, **options)


def test_another_number_of_answers_is_refused(queries, corpus, lists, store):
    with pytest.raises(InputError, match=r"an array of shape \(1,\) for 32 comparisons"):
        PairwiseFunctionScorer(lambda q, a, b: [0.5], "few", store).score_lists(queries, corpus, lists)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("yes", "ValueError: could not convert"),
        ({"p": 0.5}, "TypeError"),
        ([0.1, 0.2], "shape"),
        (torch.tensor(0.5, requires_grad=True), "RuntimeError: Can't call numpy"),
        (1e39, "inf for query"),
    ],
    ids=["word", "dictionary", "nested", "gradient", "large"],
)
@pytest.mark.filterwarnings("error")
def test_what_is_no_number_is_refused(queries, corpus, lists, store, answer, message):
    scorer = PairwiseFunctionScorer(lambda q, a, b: [answer] * len(q), "odd", store, version="1")
    with pytest.raises(InputError, match=f"a probability for every comparison from odd, got .*{message}"):
        scorer.score_lists(queries, corpus, lists)


def test_answers_of_several_lengths_are_refused(queries, corpus, lists, store):
    scorer = PairwiseFunctionScorer(lambda q, a, b: [[0.1], *[0.5] * (len(q) - 1)], "ragged", store)
    with pytest.raises(InputError, match="ValueError: setting an array element"):
        scorer.score_lists(queries, corpus, lists)


def test_a_word_and_its_options_name_one(toy_collection, store):
    word = "pairwise:tests.scorers.test_preferences:longer"
    scorer = load_scorer(f"{word}#comparisons=2,both_orders=true,prior=0.5", store=store)
    assert (scorer.name, scorer.kind, scorer.listwise, scorer.ordered) == (word, "pairwise", True, False)
    assert (scorer.comparisons, scorer.both_orders, scorer.prior, scorer.store) == (2, True, 0.5, store)
    assert load_scorer(word, store=store, name="me").name == "me"
    columns = np.zeros(5, dtype=bool), np.zeros(5, dtype=np.int64), ("bm25",)
    lists = Candidates(np.array([0, 1]), np.array([0, 2, 5]), np.arange(5), *columns)
    fused = FusedScorer([scorer, BM25()], [1.0, 0.5])
    scores = score_all(toy_collection, lists, [scorer, BM25(), fused]).scores
    np.testing.assert_allclose(scores[2], scores[0] + 0.5 * scores[1], rtol=1e-6)


def test_a_kind_of_ones_own_needs_two_methods(queries, corpus):
    class Own(PairwiseScorer):
        preference_fingerprint = "own-1"

        def prefer(self, queries, first, second):
            return longer(queries, first, second)

    scorer = Own("own")
    assert scorer.pairs_per_second is None
    pairs = np.zeros(5, dtype=np.int64), np.array([1, 2, 3, 4, 6])
    assert np.isfinite(scorer.score(queries, corpus, *pairs)).all() and scorer.pairs_computed == 10
    assert scorer.pairs_per_second == pytest.approx(5 / scorer.seconds_computing)
