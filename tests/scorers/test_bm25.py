from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.scorers import BM25, inverted, term_weights
from st_mta.scorers import bm25 as bm25_module
from st_mta.types import Texts

PASSAGES = [
    "the cat eats fish and the cat sleeps",
    "a dog runs to the river",
    "fish swim in the river and in the sea",
    "",
    "the the the",
    "cat",
    "Dog! dog; DOG?",
    "naïve café über",
    "cat",
]
QUESTIONS = ["cat fish", "where does the dog run", "river river sea", "unknown words", "", "the", "CAFÉ"]


@pytest.fixture
def corpus() -> Texts:
    return Texts([f"p{i}" for i in range(len(PASSAGES))], PASSAGES)


@pytest.fixture
def queries() -> Texts:
    return Texts([f"q{i}" for i in range(len(QUESTIONS))], QUESTIONS)


def tokens(text: str, stopwords: set[str]) -> list[str]:
    return [word for word in re.findall(r"\w\w+", text.lower()) if word not in stopwords]


def lucene(k1: float, b: float, stopwords: set[str]) -> np.ndarray:
    """Lucene's BM25, from the formula, in plain loops over Python floats."""
    documents = [tokens(passage, stopwords) for passage in PASSAGES]
    mean = sum(map(len, documents)) / len(documents)
    scores = np.zeros((len(QUESTIONS), len(PASSAGES)))
    for row, question in enumerate(QUESTIONS):
        for term in tokens(question, stopwords):
            containing = sum(term in document for document in documents)
            inverse = math.log(1 + (len(documents) - containing + 0.5) / (containing + 0.5))
            for column, document in enumerate(documents):
                frequency = Counter(document)[term]
                norm = k1 * (1 - b + b * len(document) / mean)
                scores[row, column] += inverse * frequency / (frequency + norm) if frequency else 0.0
    return scores


def all_pairs() -> tuple[np.ndarray, np.ndarray]:
    return np.repeat(np.arange(len(QUESTIONS)), len(PASSAGES)), np.tile(np.arange(len(PASSAGES)), len(QUESTIONS))


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.4), (2.0, 0.0), (0.0, 1.0)])
def test_scores_follow_lucenes_formula(queries, corpus, k1, b):
    scores = BM25(k1=k1, b=b, stopwords=["the", "and"]).score(queries, corpus, *all_pairs())
    np.testing.assert_allclose(scores.reshape(len(QUESTIONS), -1), lucene(k1, b, {"the", "and"}), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("at_once", [1, 64])
@pytest.mark.parametrize("stopwords", [None, ["the"], "en"])
def test_retrieve_gives_the_best_of_all_scores_ties_to_the_lower_position(
    queries, corpus, monkeypatch, stopwords, at_once
):
    monkeypatch.setattr(inverted, "QUERIES_AT_ONCE", at_once)
    scorer = BM25(stopwords=stopwords)
    every = np.arange(len(QUESTIONS))
    scores = scorer.score(queries, corpus, *all_pairs()).reshape(len(QUESTIONS), -1)
    for k in (1, 3, 20):
        found = scorer.retrieve(queries, corpus, every, k)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(scores, order, axis=1)
        width = order.shape[1]
        np.testing.assert_array_equal(found.passages[:, :width], np.where(best > 0, order, -1))
        np.testing.assert_array_equal(found.scores[:, :width], np.where(best > 0, best, -np.inf))
        assert (found.passages[:, width:] == -1).all()
    assert (found.passages[0, :3] == [0, 5, 8]).all()  # two passages are just "cat"


def test_passages_without_a_score_are_not_retrieved():
    """Robertson's weight of a term that most passages have is zero."""
    corpus = Texts(["a", "b", "c"], ["cat dog", "cat bird", "cat fish"])
    found = BM25(method="robertson").retrieve(Texts(["q"], ["cat fish"]), corpus, np.array([0]), 3)
    assert found.passages.tolist() == [[2, -1, -1]]


def test_only_some_queries_in_any_order(queries, corpus):
    every = BM25().retrieve(queries, corpus, np.arange(len(QUESTIONS)), 4)
    some = BM25().retrieve(queries, corpus, np.array([2, 0, 2]), 4)
    np.testing.assert_array_equal(some.passages, every.passages[[2, 0, 2]])
    np.testing.assert_array_equal(some.queries, [2, 0, 2])


@pytest.mark.parametrize("method", bm25_module.METHODS)
def test_every_method_agrees_with_bm25s(queries, corpus, method):
    import bm25s

    index = bm25s.BM25(method=method, k1=1.2, b=0.75)
    index.index(bm25s.tokenize(PASSAGES, stopwords="en", show_progress=False), show_progress=False)
    scores = BM25(method=method).score(queries, corpus, *all_pairs()).reshape(len(QUESTIONS), -1)
    for row, question in enumerate(QUESTIONS):
        (words,) = bm25s.tokenize([question], stopwords="en", return_ids=False, show_progress=False)
        known = [word for word in words if word in index.vocab_dict]
        expected = index.get_scores(known) if known else np.zeros(len(PASSAGES))
        np.testing.assert_allclose(scores[row], expected, rtol=1e-5)


def test_the_stemmer_joins_forms_of_a_word(queries):
    def stem(words):
        return [word.removesuffix("s") for word in words]

    corpus = Texts(["a", "b"], ["two cats", "one dog"])
    question = Texts(["q"], ["cat"])
    assert (BM25().retrieve(question, corpus, np.array([0]), 1).passages == -1).all()
    assert BM25(stemmer=stem).retrieve(question, corpus, np.array([0]), 1).passages.tolist() == [[0]]


def test_scores_of_another_corpus_are_kept_apart(queries, corpus, store):
    scorer = BM25(store=store)
    first = scorer.score(queries, corpus, np.array([0]), np.array([5]))
    other = Texts(["x", "y"], ["cat", "cat cat"])
    second = scorer.score(queries, other, np.array([0]), np.array([0]))
    assert first != second
    assert scorer.score(queries, corpus, np.array([0]), np.array([5])) == first
    assert store.ledger.pairs_scored == 2


def test_an_index_is_built_once_per_corpus(queries, corpus, monkeypatch):
    scorer = BM25()
    scorer.retrieve(queries, corpus, np.array([0]), 1)
    monkeypatch.setattr(scorer, "_build", lambda corpus: pytest.fail("built again"))
    scorer.retrieve(queries, corpus, np.array([1]), 1)
    scorer.score(queries, corpus, np.array([1]), np.array([1]))


@pytest.mark.parametrize("texts", [[], ["", "the"], ["?!", ""]])
def test_a_corpus_without_terms_finds_nothing(queries, texts):
    corpus = Texts([str(i) for i in range(len(texts))], texts)
    found = BM25().retrieve(queries, corpus, np.arange(3), 2)
    assert (found.passages == -1).all() and np.isneginf(found.scores).all()
    if texts:
        assert BM25().score(queries, corpus, np.array([0]), np.array([0])).tolist() == [0.0]


def test_the_fingerprint_follows_the_parameters():
    variants = [BM25(), BM25(k1=0.9), BM25(b=0.4), BM25(method="atire"), BM25(stopwords=None), BM25(stemmer=list)]
    assert len({variant.fingerprint for variant in variants}) == len(variants)
    assert BM25(name="other").fingerprint == BM25().fingerprint


@pytest.mark.parametrize("options", [{"method": "bm25+"}, {"k1": -1}, {"b": 1.5}, {"k1": float("nan")}])
def test_bad_parameters_are_refused(options):
    with pytest.raises(InputError):
        BM25(**options)


def test_an_unknown_language_of_stopwords_is_refused():
    with pytest.raises(InputError, match="klingon"):
        BM25(stopwords="klingon")


LANGUAGES = [
    "水獭睡觉 在河里",
    "ラッコは眠る です",
    "นากทะเล ว่ายน้ำ",
    "हिन्दी लड़कियों की किताब",
    "бегущими книгами города города",
    "한국어 문장을 나눈다",
    "ﬁne Ｆｕｌｌ width İstanbul naïve cafe\u0301",
    "",
    "cat " * 300 + "dog",
    *PASSAGES,
]


def by_bm25s(method, texts, stemmer=None):
    """The index of bm25s itself, from lists of tokens of the whole corpus."""
    import bm25s

    from st_mta.scorers.words import prepared, word_pattern

    options = {"stopwords": "en", "token_pattern": word_pattern(), "stemmer": stemmer, "show_progress": False}
    index = bm25s.BM25(method=method, k1=1.2, b=0.75)
    index.index(bm25s.tokenize(list(map(prepared, texts)), **options), show_progress=False)
    return index


@pytest.mark.parametrize("method", bm25_module.METHODS)
@pytest.mark.parametrize("stemmer", [None, lambda words: [word[:2] for word in words]])
@pytest.mark.parametrize("at_once", [3, 100])
def test_weights_from_blocks_are_those_of_bm25s_to_the_last_bit(monkeypatch, method, stemmer, at_once):
    monkeypatch.setattr(bm25_module, "TEXTS_AT_ONCE", at_once)
    monkeypatch.setattr(term_weights, "ENTRIES_AT_ONCE", at_once)
    corpus = Texts([str(i) for i in range(len(LANGUAGES))], LANGUAGES)
    ours, theirs = BM25(method=method, stemmer=stemmer)._index(corpus), by_bm25s(method, LANGUAGES, stemmer)
    assert set(ours.vocabulary) == set(theirs.vocab_dict) - {""}
    data, indices, indptr = (theirs.scores[part] for part in ("data", "indices", "indptr"))
    for term, column in ours.vocabulary.items():
        found = slice(*ours.by_term.indptr[column : column + 2])
        other = slice(*indptr[theirs.vocab_dict[term] :][:2])
        np.testing.assert_array_equal(ours.by_term.indices[found], indices[other])
        assert ours.by_term.data[found].tobytes() == data[other].tobytes(), term


def test_tokens_are_lists_for_one_block_at_a_time(corpus, monkeypatch):
    monkeypatch.setattr(bm25_module, "TEXTS_AT_ONCE", 2)
    scorer, seen = BM25(), []
    monkeypatch.setattr(scorer, "_tokenize", lambda texts: (seen.append(len(texts)), BM25()._tokenize(texts))[1])
    scorer._index(corpus)
    assert seen == [2, 2, 2, 2, 1]


def test_pairs_are_scored_from_the_columns_without_a_second_index(queries, corpus):
    scorer = BM25(stopwords=None)
    scores = scorer.score(queries, corpus, *all_pairs())
    index = scorer._index(corpus)
    assert "by_passage" not in vars(index)
    counts = scorer._query_counts(queries.take(range(len(QUESTIONS))), index)
    assert scores.tobytes() == (counts @ index.by_term.T.astype(np.float64)).toarray().astype(np.float32).tobytes()


def test_counts_grow_into_wider_numbers():
    from st_mta.scorers.term_counts import Tokenized, count_terms

    blocks = [Tokenized([[0, 1, 0]], {"a": 0, "b": 1}), Tokenized([[1] * 300 + [0], []], {"c": 0, "a": 1})]
    found = count_terms(blocks)
    assert found.vocabulary == {"a": 0, "b": 1, "c": 2} and found.lengths.tolist() == [3, 301, 0]
    assert found.by_term.toarray().tolist() == [[2, 1, 0], [300, 0, 1], [0, 0, 0]]
    assert found.by_term.dtype == np.uint16
