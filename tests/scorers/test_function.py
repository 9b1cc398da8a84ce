"""A function of the user's as a scorer: asked once for every pair, through errors and kills."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.scorers import FunctionScorer, ScorerOptions, load_scorer
from st_mta.stores import Store


class Billed:
    """A service that counts what it answers, and fails at some of its calls without answering."""

    version = "1"

    def __init__(self, fails: int | None = None, answer=None):
        self.fails, self.answer = fails, answer
        self.calls, self.asked = 0, Counter()

    def __call__(self, queries, passages):
        self.calls += 1
        if self.calls == self.fails:
            raise TimeoutError("no answer")
        self.asked.update(zip(queries, passages))
        return score(queries, passages) if self.answer is None else self.answer(queries, passages)


def score(queries, passages):
    return [len(query) - 0.5 * len(passage) for query, passage in zip(queries, passages)]


def add(totals: Counter, *services: Billed) -> Counter:
    for service in services:
        totals.update(service.asked)
    return totals


def test_ten_lines_are_a_scorer(queries, corpus, pairs, store):
    scorer = load_scorer(score, store=store)
    expected = np.float32(score(queries.take(pairs[0]), corpus.take(pairs[1])))
    np.testing.assert_array_equal(scorer.score(queries, corpus, *pairs), expected)
    assert (scorer.name, scorer.kind, scorer.can_retrieve, scorer.bounded) == ("score", "function", False, False)
    assert scorer.pairs_per_second > 0


def test_a_name_stands_for_a_function_on_the_command_line(store, monkeypatch, tmp_path):
    (tmp_path / "my_service.py").write_text(
        "def rerank(queries, passages):\n    return [float(len(q)) for q in queries]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    scorer = load_scorer("my_service:rerank", ScorerOptions(store, max_length=9))
    assert (scorer.name, scorer.store) == ("my_service:rerank", store)
    assert scorer.predict(["ab"], ["c"]).tolist() == [2]
    from my_service import rerank

    assert FunctionScorer(rerank, store=store).fingerprint == scorer.fingerprint
    for wrong, message in (("my_service:other", "no 'other'"), ("not_there:f", "cannot be imported")):
        with pytest.raises(InputError, match=message):
            load_scorer(wrong)


def test_what_cannot_be_called_with_queries_and_passages_is_refused():
    with pytest.raises(InputError, match="queries, passages"):
        load_scorer(lambda query: 1.0)


def test_nothing_is_asked_twice_through_errors_and_repetitions(queries, corpus, pairs, tmp_path):
    totals = Counter()
    for fails in (1, 2, 3):
        service = Billed(fails)
        scorer = FunctionScorer(service, store=Store(tmp_path), part_size=16)
        with pytest.raises(InputError, match=rf"TimeoutError: no answer \(after {16 * (fails - 1)} pairs"):
            scorer.score(queries, corpus, *pairs)
        add(totals, service)
    service = Billed()
    scores = FunctionScorer(service, store=Store(tmp_path), part_size=16).score(queries, corpus, *pairs)
    np.testing.assert_array_equal(scores, np.float32(score(queries.take(pairs[0]), corpus.take(pairs[1]))))
    add(totals, service)
    again = Billed()
    np.testing.assert_array_equal(FunctionScorer(again, store=Store(tmp_path)).score(queries, corpus, *pairs), scores)
    assert again.calls == 0
    distinct = set(zip(queries.take(pairs[0]), corpus.take(pairs[1])))
    assert set(totals) == distinct and set(totals.values()) == {1}


def test_a_kill_loses_no_answer_that_came(queries, corpus, pairs, tmp_path):
    def interrupted(queries, passages):
        raise KeyboardInterrupt

    service = Billed()
    scorer = FunctionScorer(service, store=Store(tmp_path), part_size=64)
    scorer.function = lambda queries, passages: (
        interrupted(queries, passages) if service.calls == 2 else service(queries, passages)
    )
    with pytest.raises(KeyboardInterrupt):
        scorer.score(queries, corpus, *pairs)
    again = Billed()
    FunctionScorer(again, store=Store(tmp_path)).score(queries, corpus, *pairs)
    assert len(service.asked) == 128 and not set(service.asked) & set(again.asked)


def test_pairs_beside_one_without_a_number_are_kept(queries, corpus, pairs, tmp_path):
    wrong = (queries.take([pairs[0][5]])[0], corpus.take([pairs[1][5]])[0])

    def partly(queries, passages):
        found = zip(score(queries, passages), queries, passages)
        return [None if (query, passage) == wrong else value for value, query, passage in found]

    service = Billed(answer=partly)
    scorer = FunctionScorer(service, store=Store(tmp_path), part_size=200)
    query_id, passage_id = queries.take_ids([pairs[0][5]])[0], corpus.take_ids([pairs[1][5]])[0]
    with pytest.raises(InputError, match=f"nan for query '{query_id}' and passage '{passage_id}'"):
        scorer.score(queries, corpus, *pairs)
    again = Billed()
    FunctionScorer(again, store=Store(tmp_path)).score(queries, corpus, *pairs)
    assert dict(again.asked) == {wrong: 1}


@pytest.mark.parametrize("answer", [lambda q, p: [1.0], lambda q, p: [[1.0, 2.0]] * len(q), lambda q, p: 3.0])
def test_other_than_one_number_per_pair_is_refused(queries, corpus, pairs, store, answer):
    with pytest.raises(InputError, match="finite number for every pair from service.*shape"):
        FunctionScorer(answer, "service", store).score(queries, corpus, *pairs)


def test_words_instead_of_numbers_are_refused(queries, corpus, pairs, store):
    with pytest.raises(InputError, match="ValueError: could not convert"):
        FunctionScorer(lambda q, p: ["good"] * len(q), store=store).score(queries, corpus, *pairs)


@pytest.mark.filterwarnings("error")
def test_a_number_that_is_too_large_is_refused_without_a_warning(queries, corpus, pairs, store):
    with pytest.raises(InputError, match="got inf for query"):
        FunctionScorer(lambda q, p: [1e39] * len(q), store=store).score(queries, corpus, *pairs)


def of_closure(weight):
    seen = []

    def weighted(queries, passages):
        seen.append(len(queries))
        return [weight * value for value in score(queries, passages)]

    return weighted


def test_a_function_is_told_by_its_source_or_by_name_and_version(queries, corpus, pairs, store):
    assert FunctionScorer(of_closure(1)).fingerprint == FunctionScorer(of_closure(1), "other").fingerprint
    assert FunctionScorer(of_closure(1)).fingerprint != FunctionScorer(of_closure(2)).fingerprint
    versions = [FunctionScorer(of_closure(weight), "mine", version="7").fingerprint for weight in (1, 2)]
    assert versions[0] == versions[1] != FunctionScorer(of_closure(1), "mine", version="8").fingerprint
    assert versions[0] != FunctionScorer(of_closure(1), "yours", version="7").fingerprint
    scorer = FunctionScorer(of_closure(1), store=store)
    before = scorer.fingerprint
    scorer.score(queries, corpus, *pairs)
    assert scorer.fingerprint == before  # although the function holds what it was asked


def test_answers_are_kept_without_being_told_where(queries, corpus, pairs):
    FunctionScorer(Billed(), "service").score(queries, corpus, *pairs)
    again = Billed()
    FunctionScorer(again, "service").score(queries, corpus, *pairs)
    assert again.calls == 0
