"""Another text of the same passages: whose positions hold, what is stored, and what is told apart."""

from __future__ import annotations

import json

import numpy as np
import pytest

from st_mta.collections.view import View, read_view
from st_mta.errors import InputError
from st_mta.scorers import (
    BM25,
    BiEncoderScorer,
    CrossEncoderScorer,
    EmbeddingScorer,
    FusedScorer,
    LateInteractionScorer,
    StoredScores,
    ViewScorer,
    with_view,
)
from st_mta.stores import Store
from st_mta.types import Texts
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer

ENGLISH = {"p0": "the cat eats a fish", "p1": "a red car", "p2": "the wind", "p3": "a dog"}
QUERIES = {"q0": "what eats a fish", "q1": "who has a dog"}
# The view's order is another, and it knows more than is asked for.
VIEW = View(Texts.from_dict({"other": "no", **dict(reversed(ENGLISH.items()))}), Texts.from_dict(QUERIES | {"z": "z"}))
OWN = Texts.from_dict(dict.fromkeys(QUERIES, "??")), Texts.from_dict({key: f"{key} %" for key in ENGLISH})
SEEN = Texts.from_dict(QUERIES), Texts.from_dict(ENGLISH)
PAIRS = np.array([0, 0, 1, 1, 0]), np.array([0, 3, 2, 3, 0])
MADE = {
    "bm25": lambda store: BM25(store=store),
    "bi-encoder": lambda store: BiEncoderScorer(tiny_sentence_transformer(2), name="B", store=store, precision="fp32"),
    "cross-encoder": lambda store: CrossEncoderScorer(tiny_cross_encoder(3), name="C", store=store, precision="fp32"),
    "late-interaction": lambda store: LateInteractionScorer(
        tiny_sentence_transformer(2), name="L", store=store, precision="fp32"
    ),
    "fusion": lambda store: FusedScorer([MADE["bm25"](store), MADE["cross-encoder"](store)], [1.0, 2.0]),
}


@pytest.fixture(params=MADE)
def scorer(request, tmp_path):
    return MADE[request.param](Store(tmp_path / "store"))


def test_it_scores_and_searches_what_the_view_says_at_the_collections_positions(scorer):
    seen = with_view(scorer, VIEW)
    np.testing.assert_array_equal(seen.score(*OWN, *PAIRS), scorer.score(*SEEN, *PAIRS))
    assert (seen.kind, seen.can_retrieve, seen.parameters) == (scorer.kind, scorer.can_retrieve, scorer.parameters)
    assert (seen.answer(*OWN, 3) is None) == (scorer.answer(*SEEN, 3) is None)
    if scorer.can_retrieve:
        found, expected = (one.retrieve(*texts, np.array([1, 0]), 3) for one, texts in ((seen, OWN), (scorer, SEEN)))
        np.testing.assert_array_equal(found.passages, expected.passages)
        np.testing.assert_array_equal(found.scores, expected.scores)


def test_without_a_part_the_collections_own_is_read(scorer):
    for part, texts in (("queries", (SEEN[0], OWN[1])), ("corpus", (OWN[0], SEEN[1]))):
        seen = with_view(scorer, **{part: getattr(VIEW, part)})
        np.testing.assert_array_equal(seen.score(*OWN, *PAIRS), scorer.score(*texts, *PAIRS))


def test_what_was_scored_of_the_views_texts_is_not_scored_again(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    before = MADE["cross-encoder"](store).score(*SEEN, *PAIRS)
    scorer = MADE["cross-encoder"](store)
    monkeypatch.setattr(scorer, "predict", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(with_view(scorer, VIEW).score(*OWN, *PAIRS), before)


def test_embeddings_of_a_view_stand_at_the_collections_positions(tmp_path):
    scorer = MADE["bi-encoder"](Store(tmp_path))
    seen = with_view(scorer, VIEW, name="English")
    assert isinstance(seen, EmbeddingScorer) and (seen.name, seen.dimension) == ("English", 32)
    every = np.arange(4)
    rows = seen.embed(OWN[1], "document", every).rows(slice(None))
    np.testing.assert_array_equal(rows, scorer.embed(SEEN[1], "document", every).rows(slice(None)))
    some = seen.embed(OWN[0], "query", np.array([1])).rows(slice(None))
    np.testing.assert_array_equal(some, scorer.encode([QUERIES["q1"]], "query"))
    seen.search_with("exact", 2)
    assert scorer.block_size == seen.block_size == 2


def test_scores_of_a_file_go_by_ids_as_ever(tmp_path):
    path = tmp_path / "run.trec"
    path.write_text("q0 Q0 p1 1 2.5 x\nq1 Q0 p3 1 1.5 x\n")
    seen, plain = with_view(StoredScores(path), VIEW), StoredScores(path)
    np.testing.assert_array_equal(seen.score(*OWN, *PAIRS), plain.score(*OWN, *PAIRS))
    assert seen.ranking(*OWN, np.array([0, 1]), 3) == plain.ranking(*OWN, np.array([0, 1]), 3)
    listed, expected = (one.listed(*OWN, np.array([0, 1]), 3) for one in (seen, plain))
    np.testing.assert_array_equal(listed.passages, expected.passages)
    assert seen.partial and not seen.timed
    assert with_view(BM25(), VIEW).listed(*OWN, np.array([0]), 3) is None


def test_the_view_is_part_of_what_a_run_knows_a_scorer_by():
    scorer = BM25()
    other = View(VIEW.corpus)
    prints = [one.fingerprint for one in (scorer, with_view(scorer, VIEW), with_view(scorer, other))]
    assert len(set(prints)) == 3 and prints[1] == with_view(BM25(), VIEW).fingerprint
    assert with_view(scorer, queries=VIEW.corpus).fingerprint != prints[2]


def test_missing_texts_are_counted_and_the_first_is_named():
    seen = with_view(BM25(), corpus=Texts.from_dict({"p0": "a", "p2": "b"}))
    with pytest.raises(InputError, match=r"none for 2 of them, the first 'p1' \(number 2 of the collection\)"):
        seen.score(*OWN, *PAIRS)
    with pytest.raises(InputError, match="each of the collection's 2 queries"):
        with_view(BM25(), queries=Texts.from_dict({"q1": "a"})).retrieve(*OWN, np.array([1]), 2)


def test_a_collections_own_texts_are_not_copied():
    view = View(Texts.from_dict(ENGLISH))
    assert view.of_corpus(OWN[1]) is view.corpus and view.of_queries(OWN[0]) is OWN[0]
    assert VIEW.of_corpus(OWN[1]) is VIEW.of_corpus(OWN[1])  # aligned once


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_a_folder_is_read_with_its_titles(tmp_path):
    write(tmp_path / "corpus.jsonl", [{"_id": "p0", "title": "T", "text": "body"}, {"_id": "p1", "text": "x"}])
    view = read_view(tmp_path)
    assert view.corpus["p0"] == "T body" and view.queries is None
    write(tmp_path / "queries.jsonl", [{"_id": "q0", "text": "expanded"}])
    assert read_view(tmp_path).queries["q0"] == "expanded"
    assert isinstance(with_view(BM25(), str(tmp_path)), ViewScorer)


def test_a_folder_without_texts_is_refused(tmp_path):
    for folder, got in ((tmp_path, "neither"), (tmp_path / "not", "no such folder")):
        with pytest.raises(InputError, match=f"corpus.jsonl or queries.jsonl at .* got {got}"):
            read_view(folder)
    with pytest.raises(InputError, match="neither in the view"):
        with_view(BM25())
    (tmp_path / "corpus.jsonl").write_text('{"_id": "a", "text": "x"}\n{"_id": "b"}\n')
    with pytest.raises(InputError, match=r"corpus\.jsonl:2"):
        read_view(tmp_path)
