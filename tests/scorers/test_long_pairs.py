"""Pairs that are too long: the document is shortened first, then the query, and the prompt's own words stay."""

from __future__ import annotations

import numpy as np
import pytest

from st_mta.scorers import LanguageModelReranker, load_scorer
from st_mta.scorers.language_model import as_cross_encoder
from st_mta.scorers.long_pairs import fit_pairs
from tests.tiny import WORDS, saved, tiny_language_model, tiny_sequence_to_sequence, tiny_tokenizer

PROMPTS = {
    "query first": ("query : {query} text : {document} is it good ?", 8),
    "document first": ("text : {document} query : {query} good ?", 6),
    "nothing behind": ("query : {query} text : {document}", 4),
}
MAKE = {"causal": tiny_language_model, "encoder-decoder": tiny_sequence_to_sequence}
LONG = " ".join(WORDS)


def what_is_read(scorer, query, document, monkeypatch):
    """The text that the model reads of a pair, and its tokens."""
    model, found = scorer._frozen.model, []
    kept = model[0].preprocess

    def preprocess(*given, **options):
        found.append(kept(*given, **options))
        return found[-1]

    monkeypatch.setattr(model[0], "preprocess", preprocess)
    scorer.predict([query], [document])
    ids = found[-1]["input_ids"][0]
    return model.tokenizer.decode(ids, skip_special_tokens=True), len(ids)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize(
    ("query", "document", "of_query", "of_document"),
    [
        ("cat dog", LONG, 2, 18),  # of 20 tokens of room
        (LONG, "cat dog", 18, 2),
        (LONG, LONG, 10, 10),
        (" ".join(WORDS[:12]), LONG, 10, 10),
        (LONG, " ".join(WORDS[:15]), 10, 10),
        ("", LONG, 0, 20),
        (LONG, "", 20, 0),
    ],
    ids=["document", "query", "both", "query over half", "document over half", "no query", "no document"],
)
def test_what_is_left_of_a_long_pair(tmp_path, monkeypatch, kind, prompt, query, document, of_query, of_document):
    form = {"prompt": PROMPTS[prompt][0], "true_token": "good", "false_token": "bad"}
    scorer = LanguageModelReranker(MAKE[kind](tmp_path), form=form, device="cpu", precision="fp32", max_length=9)
    limit = scorer._frozen.max_length
    special = 2 if kind == "encoder-decoder" else 0
    room = limit - special - len(tiny_tokenizer().tokenize(form["prompt"].format(query="", document="")))
    assert room == 20  # twice max_length, and the two words by which the prompt is measured
    text, length = what_is_read(scorer, query, document, monkeypatch)
    words = {"query": " ".join(query.split()[:of_query]), "document": " ".join(document.split()[:of_document])}
    assert text.split("?")[0].split() == form["prompt"].format(**words).split("?")[0].split()
    assert length == limit and text.endswith("?") == form["prompt"].endswith("?")


@pytest.mark.parametrize("kind", MAKE)
def test_candidates_of_a_long_query_have_scores_of_their_own(tmp_path, kind):
    form = {"prompt": PROMPTS["query first"][0], "true_token": "good", "false_token": "bad"}
    scorer = LanguageModelReranker(MAKE[kind](tmp_path), form=form, device="cpu", precision="fp32", max_length=9)
    scores = scorer.predict([LONG] * 3, ["cat", "dog", LONG])
    assert len(set(np.round(scores, 3))) == 3


@pytest.mark.parametrize("kind", MAKE)
def test_a_saved_model_cuts_alike(tmp_path, kind):
    form = {"prompt": PROMPTS["document first"][0], "true_token": "good", "false_token": "bad"}
    path = MAKE[kind](tmp_path / "bare")
    options = {"device": "cpu", "precision": "fp32", "max_length": 9}
    scorer = LanguageModelReranker(path, form=form, **options)
    loaded = load_scorer(saved(as_cross_encoder(path, form, "cpu"), tmp_path / "saved"), **options)
    pairs = ["cat", LONG, "dog"], [LONG, "cat", "fish"]
    np.testing.assert_allclose(loaded.predict(*pairs), scorer.predict(*pairs), atol=1e-5)
    assert loaded.fingerprint == scorer.fingerprint


def test_a_prompt_without_room_is_left_to_the_host():
    def lengths(pairs):
        return np.array([30 + len(tokenizer.tokenize(" ".join(pair))) for pair in pairs], dtype=np.int64)

    tokenizer = tiny_tokenizer()
    assert fit_pairs([("cat", "dog"), (LONG, LONG)], lengths, tokenizer, 20) == [("cat", "dog"), (LONG, LONG)]
    short = [("cat  dog", " fish ")]
    assert fit_pairs(short, lengths, tokenizer, 33) == short
    assert fit_pairs([], lengths, tokenizer, 33) == []


def test_tokens_that_fall_apart_at_a_cut_are_cut_again():
    def lengths(pairs):  # one more for every letter of a last word that is cut
        return np.array([sum(len(text.split()) + (text[-1:] == "a") * 2 for text in pair) for pair in pairs])

    pairs = fit_pairs([("cat", "dog a bird fish")], lengths, tiny_tokenizer(), 3)
    assert pairs == [("cat", "")] and lengths(pairs)[0] <= 3
