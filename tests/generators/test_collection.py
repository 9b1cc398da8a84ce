"""Generated queries in a collection: sampled passages, distinct texts, the round trip, and what the notes count."""

from __future__ import annotations

import numpy as np
import pytest

from st_mta.collections import from_dictionaries
from st_mta.errors import InputError
from st_mta.generators import QueryGenerator, with_generated_queries
from st_mta.types import Retrieved, Scorer

CORPUS = {"a": "red", "b": "green", "c": "blue", "d": "red", "e": "  "}


class Written(QueryGenerator):
    """Queries by hand."""

    name = "by hand"

    def __init__(self, **queries):
        self.by_text = queries

    def queries(self, corpus, positions):
        return [self.by_text.get(corpus.take([one])[0], []) for one in positions.tolist()]


class Finds(Scorer):
    """Finds passages by hand, for queries by their texts."""

    name, kind, fingerprint, can_retrieve = "finder", "stored", "by hand", True

    def __init__(self, **found):
        self.found = found

    def score(self, queries, corpus, query_positions, passage_positions):
        raise NotImplementedError

    def retrieve(self, queries, corpus, query_positions, k):
        passages = np.full((len(query_positions), k), -1)
        for row, text in enumerate(queries.take(query_positions)):
            best = [corpus.positions([one])[0] for one in self.found.get(text, [])][:k]
            passages[row, : len(best)] = best
        return Retrieved(query_positions, passages, np.zeros(passages.shape, dtype=np.float32))


@pytest.fixture
def collection():
    return from_dictionaries(
        "toy", CORPUS, {"q": "known", "t": "asked"}, {"train": {"q": {"a": 1}}, "test": {"t": {"b": 1}}}
    )


def added(collection):
    """Query -> passages, of what was generated."""
    return {
        collection.queries[query]: list(passages)
        for query, passages in collection.qrels["train"].items()
        if query.startswith("generated:")
    }


GENERATOR = Written(
    red=["warm", "  a   colour ", "warm", "", "third"], green=["a colour", "known", "asked", "grass"], blue=["sky"]
)


def test_by_hand(collection):
    """Blank texts, repeated ones and those of the collection go; what several passages gave has several positives."""
    found = with_generated_queries(collection, GENERATOR, 20, queries_per_passage=4)
    expected = {"warm": ["a", "d"], "a colour": ["a", "b", "d"], "grass": ["b"], "sky": ["c"]}
    assert added(found) == expected and found.qrels["train"]["q"] == {"a": 1}
    assert found.queries.ids == ["q", "t", "generated:a:0", "generated:a:1", "generated:b:3", "generated:c:0"]
    assert found.qrels["test"] == collection.qrels["test"] and len(found.unlabelled) == 0
    assert found.notes[-1] == "4 training queries were made from 4 passages by by hand."
    assert set(found.qrels["train"]["generated:a:1"].values()) == {1}


def test_the_number_is_that_of_queries(collection):
    sizes = [len(added(with_generated_queries(collection, GENERATOR, n, queries_per_passage=2))) for n in (1, 2, 3, 4)]
    assert sizes[0] == 1 and max(sizes) <= 4 and sizes == sorted(sizes)
    first, again, other = (
        added(with_generated_queries(collection, GENERATOR, 1, queries_per_passage=1, seed=seed)) for seed in (1, 1, 3)
    )
    assert first == again and first != other


def test_the_round_trip(collection):
    finder = Finds(warm=["d"], sky=["b", "c"], grass=["a"], **{"a colour": ["b", "c"]})
    options = {"queries_per_passage": 4, "retriever": finder}
    found = with_generated_queries(collection, GENERATOR, 20, round_trip=2, **options)
    # "warm" finds a passage with the text of both its positives.
    assert added(found) == {"warm": ["a", "d"], "a colour": ["b"], "sky": ["c"]}
    assert found.notes[-1] == "1 of them were left out, since finder does not find their passage among 2."
    assert "sky" not in added(with_generated_queries(collection, GENERATOR, 20, round_trip=1, **options))


def test_nothing_to_train_on_is_refused(collection):
    with pytest.raises(InputError, match="none that is left: 0 training queries"):
        with_generated_queries(collection, Written())
    with pytest.raises(InputError, match="finder does not find"):
        with_generated_queries(collection, GENERATOR, round_trip=1, retriever=Finds())
    with pytest.raises(InputError, match="a retriever for the round trip"):
        with_generated_queries(collection, GENERATOR, round_trip=1)
    with pytest.raises(InputError, match="num_queries"):
        with_generated_queries(collection, GENERATOR, 0)
