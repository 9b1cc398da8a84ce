"""BM25: the lexical retriever, without weights, in Lucene's variant by default."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args
from weakref import WeakKeyDictionary

import bm25s
import numpy as np
import scipy.sparse as sp

from st_mta.errors import InputError
from st_mta.lookup import check_choice
from st_mta.progress import progress
from st_mta.scorers.base import PART_SIZE, StoringScorer
from st_mta.scorers.identity import identity_of
from st_mta.scorers.inverted import Postings
from st_mta.scorers.positions import checked_pairs, checked_search
from st_mta.scorers.term_counts import Tokenized, count_terms, flat
from st_mta.scorers.term_weights import term_weights
from st_mta.scorers.words import prepared, word_pattern
from st_mta.stores import Store, fingerprint_values, text_keys
from st_mta.types import BoolArray, FloatArray, IntArray, Retrieved, Texts

Method = Literal["lucene", "robertson", "atire"]
# bm25l and bm25+ give passages without a query term a score above zero: no sparse matrix then.
METHODS: tuple[Method, ...] = get_args(Method)
# Raised when tokenisation or formula changes here, so that stored scores are not mistaken for new ones.
VERSION = "bm25-2"
SEPARATOR = "\x1f"  # between the words of a tokenizer of the user's
TEXTS_AT_ONCE = 2**13  # whose tokens are Python lists at the same time
PROBE = (
    "running nationally generalisations universities oscillate ponies caresses agreed skies happier relational "
    "goodness internationalisation Häuser Kinder laufenden Freundschaften continuellement chevaux générale corriendo "
    "niños nacionalidades camminare bella libri talossanikin juoksemme huset flickorna löpningar бегущими книгами "
    "города evlerimizden koşuyorlar كتابهم المدارس हिन्दी लड़कियों 水獭睡觉 ラッコは眠る นากทะเล 3.14 2024 a I x"
)
"""Words of many languages, on which stemmers and tokenizers show that they differ."""

logger = logging.getLogger(__name__)


class BM25(StoringScorer):
    """Okapi BM25 by bm25s; the corpus given to ``score`` or ``retrieve`` is indexed on first sight and remembered.

    Lucene's variant (Kamphuis et al. 2020, table 1): sum over query tokens t of
    ``log(1 + (N - df + .5) / (df + .5)) * tf / (tf + k1 (1 - b + b L / mean L))``. Deviations: none.

    Words are runs of two and more letters, marks and digits, in lower case; what Chinese, Japanese, Korean, Thai, Lao,
    Khmer, Burmese and the like write counts as single characters and pairs of neighbours.

    Args:
        k1: How slowly repeated terms saturate, 1.2 as in Lucene.
        b: How far long passages are discounted, .75 as in Lucene.
        method: "lucene", "robertson" or "atire".
        stopwords: A language code known to bm25s, a list of words, or None.
        stemmer: A function from a list of words to their stems, or a stemmer object as bm25s takes it (PyStemmer).
        tokenizer: A function from a text to its words, instead of the rule above; stop words and stemmer still hold.
        name: Name for reports.
        store: Where scores are kept; scores of different corpora are kept apart, since they depend on the corpus.

    Raises:
        InputError: If the method is unknown, a parameter out of range, or stemmer or tokenizer gives something else
            than words or the same words differently when called again.
    """

    kind = "bm25"
    can_retrieve = bounded = True
    part_size = 64 * PART_SIZE

    def __init__(
        self,
        k1: float = 1.2,
        b: float = 0.75,
        method: Method = "lucene",
        stopwords: str | Sequence[str] | None = "en",
        stemmer: Any = None,
        name: str = "bm25",
        store: Store | None = None,
        tokenizer: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        stopwords = stopwords if stopwords is None or isinstance(stopwords, str) else sorted(set(stopwords))
        _check_parameters(k1, b, method, stopwords)
        self.k1, self.b, self.method = k1, b, method
        self.stopwords, self.stemmer = stopwords, stemmer
        self.tokenizer = tokenizer
        self.name, self.store = name, store
        self._functions = [_identity(*part) for part in (("stemmer", stemmer, _stem), ("tokenizer", tokenizer, _cut))]
        self._indices: WeakKeyDictionary[Texts, _Index] = WeakKeyDictionary()

    @property
    def fingerprint(self) -> str:
        """Digest of the parameters (not of a corpus)."""
        return fingerprint_values(VERSION, self.k1, self.b, self.method, self.stopwords, self._functions)

    def score(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """Scores of pairs, 0 where they share no term; see ``Scorer.score``."""
        if self.store is None:
            return self._compute(queries, corpus, *checked_pairs(queries, corpus, query_positions, passage_positions))
        return super().score(queries, corpus, query_positions, passage_positions)

    def _key(self, corpus: Texts) -> str:
        return fingerprint_values(self.fingerprint, _corpus_digest(corpus))

    def _compute(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        index = self._index(corpus)
        distinct_queries, query_of = np.unique(query_positions, return_inverse=True)
        return index.score(self._query_counts(queries.take(distinct_queries), index), query_of, passage_positions)

    def retrieve(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Retrieved:
        """The k best passages that share a term with the query, from the store where they are known.

        Ties go to the lower position.
        """
        query_positions, k = checked_search(queries, query_positions, k)

        def search(rows: IntArray, depth: int) -> tuple[FloatArray, IntArray]:
            return self._search(queries, corpus, query_positions[rows], depth)

        if self.store is None:
            scores, passages = search(np.arange(len(query_positions)), k)
        else:
            key = self._key(corpus)
            self.store.describe(key, self.name, self.kind)
            scores, passages = self.store.searches.get(key, queries, corpus, query_positions, k, search)
        return Retrieved(query_positions, passages, scores)

    def answer(self, queries: Texts, corpus: Texts, depth: int) -> Callable[[IntArray], object]:
        """Searches, whatever the store holds."""
        return lambda batch: self._search(queries, corpus, batch, depth)

    def _search(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> tuple[FloatArray, IntArray]:
        """Scores and positions (Q, k), found now."""
        index = self._index(corpus)
        return index.search(self._query_counts(queries.take(query_positions), index), k, f"Searching with {self.name}")

    def _index(self, corpus: Texts) -> _Index:
        if corpus not in self._indices:
            self._indices[corpus] = self._build(corpus)
        return self._indices[corpus]

    def _build(self, corpus: Texts) -> _Index:
        terms = count_terms(self._blocks(corpus))
        if not any(terms.vocabulary):
            return _Index(sp.csc_matrix((len(corpus), 0), dtype=np.float32), {})
        return _Index(term_weights(terms, self.method, self.k1, self.b), terms.vocabulary)

    def _blocks(self, corpus: Texts) -> Iterator[Tokenized]:
        with progress(f"Indexing with {self.name}", len(corpus), "passages") as bar:
            for start in range(0, len(corpus), TEXTS_AT_ONCE):
                texts = corpus.column.slice(start, TEXTS_AT_ONCE).to_pylist()
                yield self._tokenize(texts)
                bar.update(len(texts))

    def _tokenize(self, texts: list[str]) -> Tokenized:
        options = {"stopwords": self.stopwords or [], "stemmer": self.stemmer, "show_progress": False}
        if self.tokenizer is None:
            return Tokenized(*bm25s.tokenize(list(map(prepared, texts)), token_pattern=word_pattern(), **options))
        words = [SEPARATOR.join(self.tokenizer(text)) for text in texts]
        return Tokenized(*bm25s.tokenize(words, token_pattern=f"[^{SEPARATOR}]+", lower=False, **options))

    def _query_counts(self, texts: list[str], index: _Index) -> sp.csr_matrix:
        """(Q, V) how often each query holds each term of the corpus, float64 so that sums do not depend on order."""
        tokens = self._tokenize(texts)
        columns = np.full(len(tokens.vocab) + 1, -1, dtype=np.int64)
        for term, number in tokens.vocab.items():
            columns[number] = index.vocabulary.get(term, -1) if term else -1
        lengths, terms = flat(tokens)
        rows, found = np.repeat(np.arange(len(texts)), lengths), columns[terms]
        known = found >= 0
        self._warn_of_lost_queries(index, np.bincount(rows[known], minlength=len(texts)) == 0)
        counts = (np.ones(int(known.sum())), (rows[known], found[known]))
        return sp.csr_matrix(counts, shape=(len(texts), index.by_term.shape[1]), dtype=np.float64)

    def _warn_of_lost_queries(self, index: _Index, lost: BoolArray) -> None:
        """Says once for a corpus that most queries find nothing: their language is probably not that of the rule."""
        if index.warned or len(lost) < 2 or lost.mean() <= 0.5:
            return
        index.warned = True
        logger.warning(
            f"{self.name}: {int(lost.sum()):,} of {len(lost):,} queries share no word with any passage and find "
            "nothing. If queries and passages are of one language, give BM25 a stemmer or tokenizer for it "
            "(BM25(tokenizer=...)), or leave BM25 out."
        )


def _corpus_digest(corpus: Texts) -> str:
    """Digest of the passages' texts in any order: term statistics depend on neither order nor ids."""
    return hashlib.blake2b(np.sort(text_keys(corpus)).tobytes(), digest_size=16).hexdigest()


@dataclass
class _Index(Postings):
    """Term weights of a corpus.

    Attributes:
        by_term: (n, V) float32 weights.
        vocabulary: Term -> column.
        warned: Whether it was said that most queries find nothing in it.
    """

    vocabulary: dict[str, int]
    warned: bool = False


def _stem(stemmer: Any) -> Any:
    return getattr(stemmer, "stemWords", stemmer)(PROBE.split())


def _cut(tokenizer: Callable[[str], Sequence[str]]) -> Any:
    return tokenizer(PROBE)


def _identity(what: str, function: Any, call: Callable[[Any], Any]) -> str | None:
    """Identity of a function of the user's; raises ``InputError`` unless it gives the same words when called again."""
    if function is None:
        return None
    try:
        words = list(call(function))
        fits = all(isinstance(word, str) for word in words) and (what != "stemmer" or len(words) == len(PROBE.split()))
        found = f"{len(words)} values, another time others" if fits else f"{str(words)[:80]}"
        if fits and words == list(call(function)):
            return identity_of(function, lambda: words)
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    wanted = {"stemmer": "one stem for each of a list of words", "tokenizer": "the words of a text, as a list"}[what]
    raise InputError(
        expected=f"a {what} that gives {wanted}",
        got=f"{function!r} ({found})",
        consequence="stored scores could not be told from those of another one",
        remedy="give a function that does, the same whenever it is called",
    )


def _check_parameters(k1: float, b: float, method: str, stopwords: str | Sequence[str] | None) -> None:
    check_choice("a BM25 method", method, METHODS)
    if not (k1 >= 0 and 0 <= b <= 1):
        raise InputError(
            expected="k1 of at least 0 and b between 0 and 1",
            got=f"k1={k1}, b={b}",
            remedy="use k1=1.2 and b=0.75 if in doubt",
        )
    try:
        bm25s.tokenize([""], stopwords=stopwords or [], show_progress=False)
    except ValueError as error:
        raise InputError(
            expected="stop words as a language code known to bm25s, a list of words, or None",
            got=repr(stopwords),
            remedy=str(error),
        ) from error
