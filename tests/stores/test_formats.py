"""Embeddings in half the space: what is searched and scored are the stored rows, and both formats live together."""

from __future__ import annotations

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.scorers import BiEncoderScorer
from st_mta.stores import Store
from st_mta.stores.compaction import MOST_SMALL
from st_mta.types import Texts
from tests.tiny import WORDS, tiny_sentence_transformer
from tests.training.toy_run import killed, toy_trainer

N = 80
TEXTS = Texts([f"t{i}" for i in range(N)], [f"text {i}" for i in range(N)])
ALL = np.arange(N)
ROWS = np.random.default_rng(0).normal(size=(N, 24)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)
HALF = ROWS.astype(np.float16).astype(np.float32)


def encode(batch):
    return ROWS[[int(text.split()[1]) for text in batch]]


def get(store, positions=ALL, work=encode, block_size=8):
    return store.embeddings.get("f", "document", TEXTS, positions, work, block_size).rows(slice(None))


def types(store):
    return sorted(str(np.load(path).dtype) for path in store.folder.rglob("part-*[0-9a-f].npy"))


def test_the_default_is_fp32(tmp_path):
    store = Store(tmp_path)
    np.testing.assert_array_equal(get(store), ROWS)
    assert set(types(store)) == {"float32"}


@pytest.mark.parametrize("named", [True, False])
def test_half_the_space(tmp_path, monkeypatch, named):
    if not named:
        monkeypatch.setenv("ST_MTA_EMBEDDINGS", "fp16")
    store = Store(tmp_path / "half", "fp16" if named else None)
    np.testing.assert_array_equal(get(store), HALF)
    assert get(store).dtype == np.float32 and set(types(store)) == {"float16"}
    assert get(Store(tmp_path / "whole", "fp32")).shape == (N, 24)
    rows = [
        sum(path.stat().st_size - 128 for path in tmp_path.glob(f"{name}/**/part-*[0-9a-f].npy"))
        for name in ("half", "whole")
    ]
    assert 2 * rows[0] == rows[1]


@pytest.mark.parametrize(("first", "then"), [("fp32", "fp16"), ("fp16", "fp32")])
def test_what_is_stored_already_is_read_as_it_is(tmp_path, first, then):
    get(Store(tmp_path, first), ALL[:40])
    encoded: list[str] = []
    again = Store(tmp_path, then)
    found = get(again, work=lambda batch: (encoded.extend(batch), encode(batch))[1])
    assert len(encoded) == 40 and set(types(again)) == {"float16", "float32"}
    kinds = {"fp16": HALF, "fp32": ROWS}
    np.testing.assert_array_equal(found, np.concatenate([kinds[first][:40], kinds[then][40:]]))


@pytest.mark.parametrize("mixed", [True, False])
def test_merging_changes_no_row(tmp_path, mixed):
    store = Store(tmp_path, "fp16")
    if mixed:
        get(Store(tmp_path, "fp32"), ALL[:1], block_size=1)
    get(store, ALL[:MOST_SMALL], block_size=1)
    before = types(store)
    found = get(Store(tmp_path, "fp16"), ALL[:MOST_SMALL])
    np.testing.assert_array_equal(found[1:], HALF[1:MOST_SMALL])
    np.testing.assert_array_equal(found[0], (ROWS if mixed else HALF)[0])
    assert len(before) == MOST_SMALL and types(store) == ["float32" if mixed else "float16"]


@pytest.mark.parametrize("largest", [65504.0, 65505.0, 1e30])
def test_no_number_becomes_infinite(tmp_path, largest):
    rows = ROWS.copy()
    rows[3, 5] = -largest
    store = Store(tmp_path, "fp16")
    found = get(store, work=lambda batch: rows[[int(text.split()[1]) for text in batch]], block_size=N)
    assert np.isfinite(found).all() and found[3, 5] == -np.float32(largest)
    assert types(store) == ["float16" if largest == 65504 else "float32"]


@pytest.mark.parametrize(("how", "name"), [("argument", "embeddings"), ("variable", "ST_MTA_EMBEDDINGS")])
def test_another_word(tmp_path, monkeypatch, how, name):
    if how == "variable":
        monkeypatch.setenv("ST_MTA_EMBEDDINGS", "int4")
    with pytest.raises(InputError, match=f"{name}.*fp32, fp16.*int4"):
        Store(tmp_path, "int4" if how == "argument" else None)


def test_scores_and_searches_are_of_the_stored_rows(tmp_path):
    random = np.random.default_rng(3)
    queries, corpus = (
        Texts([f"{i}" for i in range(n)], [" ".join(random.choice(WORDS[26:], 5)) for _ in range(n)]) for n in (10, 60)
    )
    scorer = BiEncoderScorer(tiny_sentence_transformer(3), name="A", store=Store(tmp_path, "fp16"), precision="fp32")
    found = scorer.retrieve(queries, corpus, np.arange(10), 60)
    rows, columns = np.nonzero(found.passages >= 0)
    pairs = scorer.score(queries, corpus, rows, found.passages[rows, columns])
    np.testing.assert_array_equal(pairs, found.scores[rows, columns])
    left, right = (
        scorer.encode(texts.take(range(len(texts))), role).astype(np.float16).astype(np.float64)
        for texts, role in ((queries, "query"), (corpus, "document"))
    )
    np.testing.assert_allclose(pairs, (left @ right.T)[rows, found.passages[rows, columns]], atol=1e-6)


def test_a_run_keeps_its_students_alike_and_resumes_in_the_same_format_only(tmp_path, toy_collection, monkeypatch):
    def trainer(word):
        store = Store(tmp_path / "store", word)
        return toy_trainer(
            tmp_path / "out", None, toy_collection, store=store, regression_epochs=0.0, num_iterations=1
        )

    with killed(monkeypatch, "train"):
        trainer("fp16").train()
    assert set(types(Store(tmp_path / "out/student-embeddings"))) == {"float16"}
    with pytest.raises(InputError, match="embeddings"):
        trainer("fp32").train(resume_from_checkpoint=True)


@pytest.mark.parametrize("scale", [1e-7, 1e-9])
def test_no_number_becomes_zero(tmp_path, scale):
    tiny = ROWS * np.float32(scale)
    store = Store(tmp_path, embeddings="fp16")
    np.testing.assert_array_equal(get(store, work=lambda batch: encode(batch) * np.float32(scale)), tiny)
