"""Scorers of whole lists: what a list is, that each is read once, and where they can be used."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from st_mta.assistants.pool import AssistantPool
from st_mta.errors import InputError
from st_mta.evaluation import evaluate_scorer
from st_mta.hub.scores import score_files
from st_mta.scored import score_all
from st_mta.scorers import BM25, FusedScorer, ListFunctionScorer, ListScorer, load_scorer, with_view
from st_mta.scorers.fused import write_fusion
from st_mta.scorers.shards import Shard, store_scores
from st_mta.stores import Store, text_keys
from st_mta.stores.keys import list_keys
from st_mta.types import Candidates, Lists, Texts


def lengths_beside(queries, lists):
    """A passage's length less the mean of its list, and a little for its place."""
    return [
        [len(passage) - sum(map(len, passages)) / len(passages) + 0.01 * len(query) for passage in passages]
        for query, passages in zip(queries, lists)
    ]


def by_place(queries, lists):
    return [[-float(place) for place in range(len(passages))] for passages in lists]


class Reader:
    """Counts the lists that it is given, and fails at one of its calls."""

    version = "1"

    def __init__(self, fails=None, answer=lengths_beside):
        self.fails, self.answer = fails, answer
        self.calls, self.asked = 0, Counter()

    def __call__(self, queries, lists):
        self.calls += 1
        if self.calls == self.fails:
            raise TimeoutError("no answer")
        self.asked.update((query, tuple(passages)) for query, passages in zip(queries, lists))
        return self.answer(queries, lists)


@pytest.fixture
def lists():
    """30 lists of 0 to 6 of 120 passages; some queries have several."""
    random = np.random.default_rng(5)
    lengths = random.integers(0, 7, 30)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Lists(random.integers(0, 25, 30), offsets, random.integers(0, 120, offsets[-1]))


def expected_of(lists, queries, corpus, function=lengths_beside):
    """In loops: every text once, by content key."""
    keys = dict(zip(corpus.take(range(len(corpus))), text_keys(corpus).tolist()))
    scores = []
    for row in range(len(lists)):
        shown = corpus.take(lists.passages[lists.offsets[row] : lists.offsets[row + 1]])
        distinct = sorted(set(shown), key=keys.get)
        found = dict(zip(distinct, function(queries.take([lists.queries[row]]), [distinct])[0])) if distinct else {}
        scores += [found[text] for text in shown]
    return np.asarray(scores, dtype=np.float32)


def test_scores_are_those_of_query_and_set(queries, corpus, lists, store):
    scorer = ListFunctionScorer(Reader(), "reader", store, part_size=4)
    expected = expected_of(lists, queries, corpus)
    np.testing.assert_allclose(scorer.score_lists(queries, corpus, lists), expected, atol=1e-5)
    random, order = np.random.default_rng(0), np.arange(len(lists.passages))
    for row in range(len(lists)):
        random.shuffle(order[lists.offsets[row] : lists.offsets[row + 1]])
    shuffled = Lists(lists.queries, lists.offsets, lists.passages[order])
    again = ListFunctionScorer(Reader(), "reader", store)
    np.testing.assert_array_equal(
        again.score_lists(queries, corpus, shuffled), scorer.score_lists(queries, corpus, lists)[order]
    )
    assert again.function.calls == 0


def test_the_same_without_a_store(queries, corpus, lists):
    class Own(ListScorer):
        fingerprint = "own-1"

        def predict_lists(self, queries, lists):
            return lengths_beside(queries, lists)

    scores = Own("own").score_lists(queries, corpus, lists)
    np.testing.assert_allclose(scores, expected_of(lists, queries, corpus), atol=1e-5)


def test_the_pairs_of_a_query_are_its_list(queries, corpus, store):
    scorer = ListFunctionScorer(Reader(), "reader", store)
    positions = np.array([3, 1, 3, 1, 3]), np.array([7, 8, 9, 8, 1])
    lists = Lists(np.array([1, 3]), np.array([0, 2, 5]), np.array([8, 8, 7, 9, 1]))
    by_list = scorer.score_lists(queries, corpus, lists)
    np.testing.assert_array_equal(scorer.score(queries, corpus, *positions), by_list[[2, 0, 3, 1, 4]])
    nothing = np.zeros(0, dtype=np.int64)
    assert scorer.score(queries, corpus, nothing, nothing).shape == (0,)


def test_no_list_is_asked_for_twice_through_errors_and_repetitions(queries, corpus, lists, tmp_path):
    totals = Counter()
    for fails in (1, 2, 3):
        reader = Reader(fails)
        with pytest.raises(InputError, match="passage of a list from reader.*TimeoutError: no answer .after"):
            ListFunctionScorer(reader, "reader", Store(tmp_path), part_size=4).score_lists(queries, corpus, lists)
        totals.update(reader.asked)
    reader = Reader()
    scorer = ListFunctionScorer(reader, "reader", Store(tmp_path))
    scorer.score_lists(queries, corpus, lists)
    totals.update(reader.asked)
    assert len(totals) > 15 and set(totals.values()) == {1}
    ledger = Store(tmp_path).ledger
    assert scorer.pairs_computed == scorer.store.ledger.pairs_scored > 0 and ledger.pairs_scored == 0


WRONG = {
    "none": lambda count: None,
    "nan": lambda count: [float("nan")] * count,
    "number": lambda count: 3.0,
    "longer": lambda count: [1.0] * (count + 1),
    "words": lambda count: ["good"] * count,
    "gradient": lambda count: torch.ones(count, requires_grad=True),
    "large": lambda count: [1e39] * count,
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.filterwarnings("error")
def test_lists_beside_one_without_numbers_are_kept(queries, corpus, lists, tmp_path, kind):
    wrong = queries.take([lists.queries[lists.lengths > 1][2]])[0]

    def partly(queries, lists):
        found = zip(queries, lists, lengths_beside(queries, lists))
        return [WRONG[kind](len(passages)) if query == wrong else scores for query, passages, scores in found]

    reader = Reader(answer=partly)
    with pytest.raises(InputError, match=f"query '{queries.ids[queries.take(range(25)).index(wrong)]}'"):
        ListFunctionScorer(reader, "reader", Store(tmp_path), part_size=99).score_lists(queries, corpus, lists)
    again = Reader()
    ListFunctionScorer(again, "reader", Store(tmp_path)).score_lists(queries, corpus, lists)
    assert {query for query, _ in again.asked} == {wrong}


def test_an_answer_too_few_is_refused(queries, corpus, lists, store):
    scorer = ListFunctionScorer(lambda queries, lists: lengths_beside(queries, lists)[1:], "short", store)
    with pytest.raises(InputError, match="7 answers for 8 lists"):
        scorer.score_lists(queries, corpus, lists)


def test_a_list_of_which_a_score_is_missing_is_read_whole_again(queries, corpus, tmp_path):
    lists = Lists(np.array([0, 1]), np.array([0, 3, 6]), np.array([1, 2, 3, 1, 2, 4]))
    first = ListFunctionScorer(Reader(), "reader", Store(tmp_path))
    expected = first.score_lists(queries, corpus, lists)
    (part,) = first.store.scores.parts(first.fingerprint)
    table = pq.read_table(part)
    part.unlink()
    rows = [column.to_numpy() for column in table.slice(1).columns]
    Store(tmp_path).scores.append(first.fingerprint, *rows)
    reader = Reader()
    again = ListFunctionScorer(reader, "reader", Store(tmp_path))
    np.testing.assert_array_equal(again.score_lists(queries, corpus, lists), expected)
    assert [len(passages) for _, passages in reader.asked] == [3]


def test_where_order_counts_passages_are_shown_as_given(queries, corpus, store):
    ordered = load_scorer({"model": "list:tests.scorers.test_listwise:by_place", "ordered": True}, store=store)
    lists = Lists(np.array([0, 0]), np.array([0, 3, 6]), np.array([5, 2, 9, 9, 2, 5]))
    assert ordered.score_lists(queries, corpus, lists).tolist() == [0, -1, -2, 0, -1, -2]
    plain = load_scorer("list:tests.scorers.test_listwise:by_place", store=store)
    scores = plain.score_lists(queries, corpus, lists)
    assert scores[:3].tolist() == scores[:2:-1].tolist() and plain.fingerprint != ordered.fingerprint
    assert (plain.ordered, ordered.ordered) == (False, True)


def test_a_run_refuses_a_scorer_that_reads_the_order(store):
    ordered = load_scorer("list:tests.scorers.test_listwise:by_place#ordered=true", store=store)
    for scorer in (ordered, FusedScorer([BM25(), ordered], [1.0, 1.0])):
        with pytest.raises(InputError, match="order of a list says nothing"):
            AssistantPool(scorer, [])
    AssistantPool(load_scorer("list:tests.scorers.test_listwise:by_place", store=store), [BM25()])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("list:tests.scorers.test_listwise:by_place#order=true", "did you mean 'ordered'"),
        ("list:tests.scorers.test_listwise:by_place#part_size=many", "a whole number, got 'many'"),
        ("list:tests.scorers.test_listwise:by_place#part_size=0", "part_size"),
        ("list:tests.scorers.test_listwise:nothing", "no 'nothing'"),
        ("list:tests.scorers.test_function:of_closure", "queries, lists"),
    ],
    ids=["unknown", "type", "range", "missing", "signature"],
)
def test_what_is_no_list_scorer_is_refused(spec, message, store):
    with pytest.raises(InputError, match=message):
        load_scorer(spec, store=store)


def test_the_file_of_a_fusion_may_name_it(tmp_path, store):
    path, part = tmp_path / "teacher.fusion.json", "list:tests.scorers.test_listwise:by_place"
    write_fusion(path, [part, "bm25"], [1.0, 2.0])
    fused = load_scorer(str(path), store=store)
    assert [one.name for one in fused.parts] == [part, "bm25"] and fused.listwise


def test_it_re_ranks_as_a_teacher_in_a_fusion_and_through_a_view(toy_collection, store):
    scorer = ListFunctionScorer(Reader(), "reader", store)
    run, measures = evaluate_scorer(scorer, toy_collection, "test", first_stage=BM25(), depth=5)
    assert 0 < measures["ndcg@10"] <= 1
    queries, corpus = toy_collection.queries, toy_collection.corpus
    query = next(iter(run))
    ids = list(run[query])
    texts = [corpus[passage] for passage in ids]
    mean = sum(map(len, texts)) / len(texts)
    expected = [len(text) - mean + 0.01 * len(queries[query]) for text in texts]
    np.testing.assert_allclose([run[query][passage] for passage in ids], expected, atol=1e-5)
    lists = Candidates(
        np.array([0, 0]),
        np.array([0, 2, 5]),
        np.array([1, 2, 1, 2, 3]),
        np.zeros(5, dtype=bool),
        np.zeros(5, dtype=np.int64),
        ("bm25",),
    )
    fused = FusedScorer([BM25(), scorer], [0.5, 2.0])
    seen = with_view(scorer, corpus=Texts(corpus.ids, [text + "!" for text in corpus.take(range(60))]))
    assert (fused.listwise, seen.listwise, BM25().listwise) == (True, True, False)
    scored = score_all(toy_collection, lists, [scorer, fused, BM25(), seen])
    np.testing.assert_allclose(scored.scores[1], 0.5 * scored.scores[2] + 2 * scored.scores[0], rtol=1e-6)
    assert scored.scores[0][0] != scored.scores[0][2]  # another list
    np.testing.assert_allclose(scored.scores[3], scored.scores[0], atol=1e-5)


def test_shards_share_whole_lists(queries, corpus, lists, tmp_path):
    positions = lists.pair_queries, lists.passages
    readers = [Reader(), Reader()]
    for number, reader in enumerate(readers, start=1):
        scorer = ListFunctionScorer(reader, "reader", Store(tmp_path / "shared"), part_size=3)
        store_scores(scorer, queries, corpus, *positions, Shard(number, 2))
    assert all(reader.asked for reader in readers) and not readers[0].asked & readers[1].asked
    last = ListFunctionScorer(Reader(), "reader", Store(tmp_path / "shared"))
    alone = ListFunctionScorer(Reader(), "reader", Store(tmp_path / "alone"))
    np.testing.assert_array_equal(last.score(queries, corpus, *positions), alone.score(queries, corpus, *positions))
    assert last.function.calls == 0


def test_scores_of_lists_are_listed_but_not_published(queries, corpus, lists, store):
    scorer = ListFunctionScorer(Reader(), "reader", store)
    scorer.score_lists(queries, corpus, lists)
    (entry,) = store.contents()
    assert (entry.name, entry.kind, entry.of) == ("reader", "list", "lists") and entry.pairs > 0
    with pytest.raises(InputError, match="of use to their scorer alone"):
        score_files(store, "me/scores", ["reader"])


def test_keys_of_lists_know_query_length_order_and_texts():
    query, keys = np.array([7, 7, 7, 8, 7, 7], dtype=np.uint64), np.array([1, 2, 2, 1, 1, 1, 2, 1, 2], dtype=np.uint64)
    offsets = np.array([0, 2, 4, 5, 7, 7, 9])
    found = list_keys(query, keys, offsets)
    assert found.dtype == np.uint64 and found[0] == found[5] and len(set(found.tolist())) == 5
    random = np.random.default_rng(0)
    many = random.integers(0, 40, (20000, 3)).astype(np.uint64)
    distinct = len(np.unique(many, axis=0))
    assert len(np.unique(list_keys(many[:, 0], many[:, 1:].ravel(), np.arange(0, 40001, 2)))) == distinct
