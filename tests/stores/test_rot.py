"""Stored files that changed on disk: none of their numbers is believed, whatever changed."""

from __future__ import annotations

import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from st_mta.stores import Store, text_keys
from st_mta.stores.parts import digests_in, listed
from st_mta.types import Texts

TEXTS = Texts([f"t{i}" for i in range(40)], [f"text {i} " + "x" * (i % 7) for i in range(40)])
KEYS = text_keys(TEXTS)
SCORES = np.random.default_rng(0).normal(size=40).astype(np.float32)
ROWS = np.random.default_rng(1).normal(size=(40, 48)).astype(np.float32)
ALL = np.arange(40)


def encode(batch):
    return ROWS[[TEXTS.take(ALL).index(text) for text in batch]]


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    for half in (slice(0, 20), slice(20, 40)):
        store.scores.append("f", KEYS[half], KEYS[half], SCORES[half])
    store.embeddings.get("f", "document", TEXTS, ALL, encode, block_size=20)
    return store


def looked_up(store):
    return store.scores.lookup("f", KEYS, KEYS)


def embedded(store):
    """The embeddings, and how many texts were encoded for them."""
    texts: list[str] = []
    found = store.embeddings.get(
        "f", "document", TEXTS, ALL, lambda batch: (texts.extend(batch), encode(batch))[1], block_size=20
    )
    return found.rows(slice(None)), len(texts)


def flip_bit(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(content))


def zero_page(path, start, size=4096):
    content = bytearray(path.read_bytes())
    content[start : start + size] = bytes(len(content[start : start + size]))
    path.write_bytes(bytes(content))


def bits_of(path, number):
    return np.random.default_rng(2).integers(0, 8 * path.stat().st_size, number).tolist()


def test_no_single_flipped_bit_of_a_score_part_is_believed(store):
    part = store.scores.parts("f")[0]
    whole = part.read_bytes()
    for bit in bits_of(part, 30):
        flip_bit(part, bit)
        found = looked_up(Store(store.folder))
        assert np.isnan(found).sum() == 20
        np.testing.assert_array_equal(found[~np.isnan(found)], SCORES[~np.isnan(found)])
        part.write_bytes(whole)
    np.testing.assert_array_equal(looked_up(Store(store.folder)), SCORES)


@pytest.mark.parametrize("suffix", [".npy", ".keys.npy"])
def test_no_single_flipped_bit_of_embeddings_is_believed(store, suffix):
    """Also in the header, where Python's own parser raises what it likes."""
    for bit in [*bits_of(block_file(store, suffix), 15), *np.random.default_rng(3).integers(0, 1024, 15).tolist()]:
        flip_bit(block_file(store, suffix), bit)
        rows, encoded = embedded(Store(store.folder))
        assert encoded == 20
        np.testing.assert_array_equal(rows, ROWS)
    assert len(list(store.folder.rglob("*.damaged"))) == 60  # both files of each block


def block_file(store, suffix):
    found = [entry.path for entry in listed(store.folder / "embeddings" / "f" / "document", ".keys.npy")]
    return type(store.folder)(found[0].removesuffix(".keys.npy") + suffix)


def nan_row(path):
    rows = np.load(path)
    rows[3] = np.nan
    np.save(path, rows)


def other_width(path):
    np.save(path, np.load(path)[:, :24])


def wider(path):
    np.save(path, np.tile(np.load(path), 2))


def fewer_rows(path):
    np.save(path, np.load(path)[:-1])


def other_rows(path):
    np.save(path, np.load(path)[::-1])


def zero_first(path):
    zero_page(path, 128)


def zero_second(path):
    zero_page(path, 2048)


@pytest.mark.parametrize(
    "damage", [nan_row, other_width, wider, fewer_rows, other_rows, zero_first, zero_second], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("reopened", [True, False])
def test_rows_that_are_not_those_written(store, damage, reopened, caplog):
    embedded(store)
    damage(block_file(store, ".npy"))
    with caplog.at_level(logging.WARNING):
        rows, encoded = embedded(Store(store.folder) if reopened else store)
    np.testing.assert_array_equal(rows, ROWS)
    assert encoded >= 20
    assert "will be encoded again" in caplog.text


@pytest.mark.parametrize("reopened", [True, False])
def test_a_truncated_block_is_not_read_though_it_is_mapped(store, reopened):
    embedded(store)
    path = block_file(store, ".npy")
    with open(path, "rb+") as file:
        file.truncate(200)
    rows, encoded = embedded(Store(store.folder) if reopened else store)
    np.testing.assert_array_equal(rows, ROWS)
    assert encoded == 20


@pytest.mark.parametrize("reopened", [True, False])
@pytest.mark.parametrize("start", [4, 200, -300])
def test_zeroed_scores(store, start, reopened, caplog):
    looked_up(store)
    part = store.scores.parts("f")[1]
    zero_page(part, start % part.stat().st_size, 64)
    with caplog.at_level(logging.WARNING):
        found = looked_up(Store(store.folder) if reopened else store)
    assert np.isnan(found).sum() == 20 and caplog.text.count("scored again") == 1


def test_statistics_that_lie(store):
    """A part in another file's place, its statistics saying that our keys cannot be in it."""
    part = store.scores.parts("f")[0]
    table = pq.read_table(part)
    lying = table.set_column(0, "query", pa.array(np.zeros(20, dtype=np.uint64)))
    pq.write_table(lying, part)
    found = looked_up(Store(store.folder))
    assert np.isnan(found).sum() == 20


def without_digests(folder):
    """Renames all parts as versions wrote them that knew no digests."""
    for path in [path for path in folder.rglob("part-*") if digests_in(path.name)]:
        name, *suffixes = path.name.split(".")
        path.rename(path.with_name(".".join(["-".join(name.split("-")[:2]), *suffixes])))


def test_parts_without_digests_are_read(store, caplog):
    without_digests(store.folder)
    again = Store(store.folder)
    np.testing.assert_array_equal(looked_up(again), SCORES)
    rows, encoded = embedded(again)
    np.testing.assert_array_equal(rows, ROWS)
    assert encoded == 0 and caplog.text == ""


@pytest.mark.parametrize("damage", [nan_row, other_width, fewer_rows], ids=lambda f: f.__name__)
def test_what_shows_without_a_digest_is_noticed(store, damage):
    store.embeddings.get("f", "document", TEXTS, ALL, encode)
    without_digests(store.folder)
    extra = Texts(["z"], ["one more"])
    store.embeddings.get("f", "document", extra, np.zeros(1, int), lambda batch: ROWS[:1], block_size=20)
    files = (store.folder / "embeddings" / "f" / "document").glob("*[0-9a-f].npy")
    damage(max(files, key=lambda path: path.stat().st_size))
    rows, _ = embedded(Store(store.folder))
    np.testing.assert_array_equal(rows, ROWS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_in_a_part_without_digest_does_not_hide_a_later_score(store, value):
    scores = SCORES.copy()
    scores[5] = value
    folder = store.folder / "scores" / "g"
    folder.mkdir()
    pq.write_table(pa.table({"query": KEYS, "passage": KEYS, "score": scores}), folder / f"part-{'0' * 32}.parquet")
    assert np.flatnonzero(np.isnan(store.scores.lookup("g", KEYS, KEYS))).tolist() == [5]
    store.scores.append("g", KEYS[5:6], KEYS[5:6], SCORES[5:6])
    np.testing.assert_array_equal(store.scores.lookup("g", KEYS, KEYS), SCORES)


def test_headers_without_digests_that_python_cannot_parse(store):
    without_digests(store.folder)
    for bit in range(0, 1024, 31):
        path = block_file(store, ".npy")
        whole = path.read_bytes()
        flip_bit(path, bit)
        rows, _ = embedded(Store(store.folder))
        assert rows.shape == ROWS.shape
        if path.exists():
            path.write_bytes(whole)


def test_damage_on_a_disk_that_can_only_be_read(store, monkeypatch, caplog):
    """Nothing is renamed, and nothing is believed either."""
    flip_bit(store.scores.parts("f")[0], 400)
    flip_bit(block_file(store, ".npy"), 9000)

    def refuse(path, target):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(type(store.folder), "rename", refuse)
    again = Store(store.folder)
    assert np.isnan(looked_up(again)).sum() == 20
    np.testing.assert_array_equal(embedded(again)[0], ROWS)
    looked_up(again)
    assert caplog.text.count("cannot be renamed") == 2


def test_tensors_that_changed_are_computed_again(store, caplog):
    tensors = {f"k{i}": {"state": torch.arange(6.0) + i} for i in range(3)}
    store.tensors.put("f/room", tensors)
    (part,) = (store.folder / "tensors" / "f" / "room").iterdir()
    flip_bit(part, 8 * part.stat().st_size - 70)
    for one in (store, Store(store.folder)):
        assert one.tensors.missing("f/room", ["k1", "k2", "k1"]) == ["k1", "k2"]
    assert caplog.text.count("computed again") == 1
    store.tensors.put("f/room", tensors)
    assert Store(store.folder).tensors.get("f/room", ["k2"], ["state"])["state"][0].tolist() == [2, 3, 4, 5, 6, 7]


def test_tensors_that_another_process_cleared_are_computed_again(store):
    store.tensors.put("f/room", {"k": {"state": torch.ones(2)}})
    assert store.tensors.missing("f/room", ["k"]) == []
    Store(store.folder).clear()
    assert store.tensors.missing("f/room", ["k"]) == ["k"]
