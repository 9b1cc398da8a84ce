from __future__ import annotations

import logging

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.stores import Ledger, parts
from st_mta.stores.embeddings import Embeddings, EmbeddingStore, by_length
from st_mta.types import Texts


def embed(texts: list[str]) -> np.ndarray:
    return np.asarray([[len(text), sum(text.encode())] for text in texts], dtype=np.float32)


class Encoder:
    """Counts what it encodes and fails when told to."""

    def __init__(self, fail_at_call: int | None = None) -> None:
        self.texts: list[str] = []
        self.calls: list[int] = []
        self.fail_at_call = fail_at_call

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.calls.append(len(texts))
        if len(self.calls) == self.fail_at_call:
            raise KeyboardInterrupt
        self.texts += texts
        return embed(texts)


@pytest.fixture
def texts() -> Texts:
    random = np.random.default_rng(0)
    words = ["x" * length + str(number) for number, length in enumerate(random.integers(0, 50, 100))]
    words[7] = words[60]  # the same text twice
    return Texts([f"p{i}" for i in range(100)], words)


@pytest.fixture
def store(tmp_path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "embeddings")


def all_of(texts: Texts) -> np.ndarray:
    return np.arange(len(texts))


def test_rows_are_the_embeddings_of_the_positions_asked_for(store, texts):
    positions = np.array([99, 0, 7, 60, 0])
    found = store.get("f", "document", texts, positions, embed, block_size=2)
    np.testing.assert_array_equal(found.rows(np.arange(5)), embed(texts.take(positions)))
    np.testing.assert_array_equal(found.rows(np.array([4, 1])), embed(texts.take(positions[[4, 1]])))
    assert (len(found), found.dimension, found.rows(slice(0, 2)).dtype) == (5, 2, np.float32)


def test_blocks_give_all_rows_in_order(store, texts):
    found = store.get("f", "document", texts, all_of(texts), embed, block_size=9)
    starts, blocks = zip(*found.blocks(32))
    assert starts == (0, 32, 64, 96)
    np.testing.assert_array_equal(np.concatenate(blocks), embed(texts.take(all_of(texts))))


def test_each_distinct_text_is_encoded_once_in_the_life_of_the_store(store, texts):
    encoder = Encoder()
    store.get("f", "document", texts, all_of(texts)[:50], encoder, block_size=16)
    again = EmbeddingStore(store.folder)
    found = again.get("f", "document", texts, all_of(texts), encoder, block_size=16)
    assert len(encoder.texts) == len(set(encoder.texts)) == 99
    assert max(encoder.calls) == 16
    assert again.ledger == Ledger(passages_encoded=49, passages_reused=50)
    np.testing.assert_array_equal(found.rows(slice(None)), embed(texts.take(all_of(texts))))


def test_roles_and_models_are_kept_apart(store, texts):
    for model, role, value in (("f", "query", 1), ("f", "document", 2), ("g", "query", 3)):
        found = store.get(
            model, role, texts, all_of(texts), lambda batch, value=value: np.full((len(batch), 1), value)
        )
        assert (found.rows(slice(None)) == value).all()


def test_an_interrupted_encode_goes_on_where_it_stopped(store, texts):
    with pytest.raises(KeyboardInterrupt):
        store.get("f", "document", texts, all_of(texts), Encoder(fail_at_call=4), block_size=20)
    rest = Encoder()
    found = EmbeddingStore(store.folder).get("f", "document", texts, all_of(texts), rest, block_size=20)
    assert len(rest.texts) == 99 - 3 * 20
    np.testing.assert_array_equal(found.rows(slice(None)), embed(texts.take(all_of(texts))))


@pytest.mark.parametrize("suffix", [".npy", ".keys.npy"])
def test_a_truncated_block_is_set_aside_and_encoded_again(store, texts, suffix, caplog):
    store.get("f", "document", texts, all_of(texts), embed, block_size=50)
    damaged = sorted(path for path in (store.folder / "f" / "document").glob("part-*") if ".keys" not in path.name)[0]
    damaged = damaged.with_name(damaged.name.removesuffix(".npy") + suffix)
    damaged.write_bytes(damaged.read_bytes()[:-8])
    encoder = Encoder()
    with caplog.at_level(logging.WARNING):
        found = EmbeddingStore(store.folder).get("f", "document", texts, all_of(texts), encoder)
    assert len(encoder.texts) in (49, 50)
    assert damaged.with_name(damaged.name + ".damaged").exists()
    assert "encoded again" in caplog.text
    np.testing.assert_array_equal(found.rows(slice(None)), embed(texts.take(all_of(texts))))


def test_an_embedding_file_without_keys_is_not_used(store, texts):
    store.get("f", "document", texts, all_of(texts), embed, block_size=50)
    next((store.folder / "f" / "document").glob("*.keys.npy")).unlink()
    found = EmbeddingStore(store.folder).get("f", "document", texts, all_of(texts), embed)
    np.testing.assert_array_equal(found.rows(slice(None)), embed(texts.take(all_of(texts))))


def test_a_kill_between_the_two_files_of_a_block_leaves_no_damage(store, texts, monkeypatch, caplog):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(parts, "_write", die_at_second_call(parts._write))
        store.get("f", "document", texts, all_of(texts), embed)
    encoder = Encoder()
    EmbeddingStore(store.folder).get("f", "document", texts, all_of(texts), encoder)
    assert len(encoder.texts) == 99
    assert caplog.text == ""


def die_at_second_call(work):
    calls: list[object] = []

    def once(*arguments):
        if calls:
            raise KeyboardInterrupt
        calls.append(arguments)
        work(*arguments)

    return once


def test_blocks_written_by_another_process_are_seen(store, texts):
    store.get("f", "document", texts, all_of(texts)[:10], embed)
    EmbeddingStore(store.folder).get("f", "document", texts, all_of(texts), embed)
    encoder = Encoder()
    store.get("f", "document", texts, all_of(texts), encoder)
    assert encoder.texts == []


def test_nothing_is_read_into_memory_before_it_is_asked_for(store, texts):
    found = store.get("f", "document", texts, all_of(texts), embed)
    assert all(isinstance(block, np.memmap) for block in found.block_arrays)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_embeddings_that_are_not_finite_are_refused_with_the_id(store, texts, value):
    def encode(batch: list[str]) -> np.ndarray:
        rows = embed(batch)
        rows[[text == texts["p3"] for text in batch], 1] = value
        return rows

    with pytest.raises(InputError, match="(?s)1 of 99 .*id 'p3'"):
        store.get("f", "document", texts, all_of(texts), encode)
    assert not (store.folder / "f").exists()


def test_an_encoder_that_gives_another_number_of_rows_is_refused(store, texts):
    with pytest.raises(InputError, match="one embedding for each of 99"):
        store.get("f", "document", texts, all_of(texts), lambda batch: np.ones((1, 2)))


def test_no_positions_give_no_rows(store, texts):
    found = store.get("f", "document", texts, all_of(texts)[:0], embed)
    assert len(found) == 0 and list(found.blocks(5)) == []
    assert found.rows(np.zeros(0, dtype=np.int64)).shape[0] == 0


def test_blocks_hold_texts_of_similar_length_and_stay_near_in_the_corpus():
    lengths = np.random.default_rng(0).integers(1, 100, 1000)
    blocks = by_length(np.arange(1000), lengths, block_size=10).reshape(-1, 10)
    assert sorted(blocks.ravel().tolist()) == list(range(1000))
    assert np.ptp(lengths[blocks], axis=1).mean() < 15  # 90 without sorting
    assert np.ptp(blocks, axis=1).max() < 160  # windows of 16 blocks


def test_a_sweep_gives_every_row_once_in_the_order_of_the_blocks():
    random = np.random.default_rng(0)
    first, second = random.normal(size=(6, 3)).astype(np.float32), random.normal(size=(5, 3)).astype(np.float16)
    embeddings = Embeddings((first, second), np.array([1, 0, 0, 1, 0, 0]), np.array([4, 2, 3, 0, 3, 0]))
    seen = [(places.tolist(), rows) for places, rows in embeddings.sweep(2)]
    assert [places for places, _ in seen] == [[5, 1], [2, 4], [3, 0]]
    for places, rows in seen:
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, embeddings.rows(np.array(places)))


def test_whole_stretches_of_a_sweep_are_not_copied_and_stay_readable(tmp_path):
    rows = np.random.default_rng(0).normal(size=(1000, 8)).astype(np.float32)
    np.save(tmp_path / "block.npy", rows)
    mapped = np.load(tmp_path / "block.npy", mmap_mode="r")
    embeddings = Embeddings((mapped,), np.zeros(1000, dtype=np.int64), np.arange(1000))
    for places, part in embeddings.sweep(300):
        assert np.shares_memory(part, mapped)
        np.testing.assert_array_equal(part, rows[places])
    np.testing.assert_array_equal(embeddings.rows(np.array([999, 0])), rows[[999, 0]])


def test_no_rows_no_sweep():
    assert list(Embeddings((), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)).sweep(5)) == []
