"""A teacher that knows one language only, and a student of another."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from st_mta.collections import from_dictionaries
from st_mta.errors import InputError
from st_mta.run.results import Quality, Trained, WarmedUp
from st_mta.scorers import BiEncoderScorer, with_view
from st_mta.stores import Store
from st_mta.types import Scorer
from tests.tiny import WORDS, tiny_sentence_transformer
from tests.training.test_trainer import assert_same, weights
from tests.training.toy_run import killed, toy_trainer


def foreign(text):
    """Another language, of words that English does not have."""
    return " ".join(word[::-1] + "q" for word in text.split())


class KnowsEnglish(Scorer):
    """Counts the English words that query and passage share."""

    name, kind = "english", "english"
    fingerprint = hashlib.blake2b(b"english", digest_size=16).hexdigest()

    def score(self, queries, corpus, query_positions, passage_positions):
        pairs = zip(queries.take(query_positions), corpus.take(passage_positions))
        return np.array([len(set(q.split()) & set(p.split()) & set(WORDS)) for q, p in pairs], dtype=np.float32)


@pytest.fixture(scope="module")
def translated(toy_collection):
    corpus, queries = (
        {key: foreign(texts[key]) for key in texts.ids} for texts in (toy_collection.corpus, toy_collection.queries)
    )
    return from_dictionaries("foreign", corpus, queries, toy_collection.qrels)


@pytest.fixture(scope="module")
def english(toy_collection, tmp_path_factory):
    folder = tmp_path_factory.mktemp("english")
    for name in ("corpus", "queries"):
        texts = getattr(toy_collection, name)
        lines = [json.dumps({"_id": key, "text": texts[key]}) for key in texts.ids]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


OPTIONS = {"num_iterations": 1, "assistants": [], "regression_epochs": 0.0, "learning_rate": 3e-3, "max_steps": 6}


def learn(trainer):
    trainer.distillation.learn()
    return trainer.distillation


def test_a_student_learns_from_a_teacher_of_another_language_and_resumes(translated, english, tmp_path, monkeypatch):
    given = {**OPTIONS, "teacher": KnowsEnglish(), "teacher_view": english}
    run = learn(toy_trainer(tmp_path / "whole", tmp_path / "store", translated, **given))
    assert run.collection.notes[-1].startswith("english reads other texts of the queries and passages, those of ")
    quality, trained = run.journal.result("quality", Quality), run.journal.result("iteration-00/train", Trained)
    assert quality.dev["english"]["ndcg@10"] > 0.6 and trained.loss["last"] < 0.9 * trained.loss["first"]
    with killed(monkeypatch, "evaluate"):
        learn(toy_trainer(tmp_path / "out", tmp_path / "store", translated, **given))
    learn(toy_trainer(tmp_path / "out", tmp_path / "store", translated, **given))
    assert_same(*(weights(tmp_path / name / "iteration-00/student") for name in ("whole", "out")))
    with pytest.raises(InputError, match="teacher: "):  # another run
        learn(toy_trainer(tmp_path / "out", tmp_path / "store", translated, **{**given, "teacher_view": None}))


def test_without_the_view_that_teacher_knows_nothing(translated, english, tmp_path):
    positions = np.arange(24), np.arange(24)
    plain, seen = KnowsEnglish(), with_view(KnowsEnglish(), english)
    assert plain.score(translated.queries, translated.corpus, *positions).max() == 0
    assert seen.score(translated.queries, translated.corpus, *positions).min() >= 1


def test_a_student_is_regressed_to_what_the_view_is_embedded_as(toy_collection, translated, english, tmp_path):
    store = Store(tmp_path / "store")
    bi_encoder = BiEncoderScorer(tiny_sentence_transformer(2), name="B", store=store, precision="fp32")
    given = {**OPTIONS, "teacher": KnowsEnglish(), "assistants": [with_view(bi_encoder, english)]}
    given |= {"regression_epochs": 2.0, "regression_map": "none", "max_steps": -1}
    trainer = toy_trainer(
        tmp_path / "out",
        None,
        translated,
        store=store,
        teacher_view=english,
        student=tiny_sentence_transformer(1),
        **given,
    )
    run = learn(trainer)
    assert run.journal.result("warm-up", WarmedUp).regressed_to == "B"
    every = np.arange(len(translated.corpus))
    target = run.regression_target().embed(translated.corpus, "document", every).rows(slice(None))
    np.testing.assert_allclose(target, bi_encoder.encode(toy_collection.corpus.take(every), "document"), atol=1e-5)
    nearness = []
    for folder in ("student-before", "warm-up/student"):
        student = run.students.scorer(tmp_path / "out" / folder, "s")
        rows = student.embed(translated.corpus, "document", every).rows(slice(None))
        nearness.append((rows * target).sum(axis=1).mean())
    assert nearness[1] > nearness[0] + 0.05


def test_missing_texts_are_found_before_anything_is_written(translated, english, tmp_path):
    lines = (english / "corpus.jsonl").read_text().splitlines()
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines[:-2]) + "\n")
    with pytest.raises(InputError, match=r"none for 2 of them, the first 'p58'"):
        toy_trainer(
            tmp_path / "out", tmp_path / "store", translated, **OPTIONS, teacher=KnowsEnglish(), teacher_view=tmp_path
        )
    assert not (tmp_path / "out").exists()


def test_texts_beside_the_collection_have_no_view(translated, english, tmp_path):
    (tmp_path / "more.txt").write_text("a text of no id")
    bi_encoder = BiEncoderScorer(tiny_sentence_transformer(2), name="B", precision="fp32")
    given = {**OPTIONS, "teacher": KnowsEnglish(), "regression_texts": str(tmp_path / "more.txt")}
    with pytest.raises(InputError, match="no regression_texts where a bi-encoder reads a view, got both, with B"):
        toy_trainer(
            tmp_path / "out",
            tmp_path / "store",
            translated,
            **{**given, "assistants": [with_view(bi_encoder, english)]},
        )
