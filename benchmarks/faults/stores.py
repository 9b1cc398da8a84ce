"""Rot in the store: bits flipped, pages zeroed, files cut, replaced or exchanged; then all is asked for again."""

from __future__ import annotations

import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sentence_transformers import CrossEncoder, SentenceTransformer

from benchmarks.faults.drills import Drill
from benchmarks.faults.material import Material
from st_mta.collections import load_collection
from st_mta.errors import InputError
from st_mta.scorers import BiEncoderScorer, CrossEncoderScorer
from st_mta.stores import Store
from st_mta.types import Collection

QUERIES, PASSAGES = 10, 20
TOLERANCE = 2e-6
"""Of what was computed anew in other batches; what was not must be equal bit for bit."""
Values = npt.NDArray[np.float32]


def drills(seed: int) -> Iterator[Drill]:
    """553 damaged parts of scores and 690 of embeddings."""
    for category, room, tried in (("damaged scores", "scores", 553), ("damaged embeddings", "embeddings", 690)):
        for number in range(tried):
            yield Drill(category, f"{number:03d}", partial(_rotten, room=room, seed=seed * 1000 + number), inside=True)


@cache
def _collection(folder: Path) -> Collection:
    return load_collection(folder)


@cache
def _models(folder: Path) -> tuple[CrossEncoder, SentenceTransformer]:
    return CrossEncoder(str(folder / "teacher"), device="cpu"), SentenceTransformer(
        str(folder / "student"), device="cpu"
    )


def _asked(material: Material, room: str, store: Store) -> Values:
    """Every score, or every embedding, that the store is about."""
    collection, (cross_encoder, bi_encoder) = _collection(material.collection), _models(material.models)
    queries, corpus = collection.queries, collection.corpus
    if room == "scores":
        teacher = CrossEncoderScorer(cross_encoder, name="T", store=store, precision="fp32")
        pairs = np.repeat(np.arange(QUERIES), PASSAGES), np.tile(np.arange(PASSAGES), QUERIES)
        thirds = np.array_split(np.arange(QUERIES * PASSAGES), 3)
        return np.concatenate([teacher.score(queries, corpus, pairs[0][part], pairs[1][part]) for part in thirds])
    student = BiEncoderScorer(bi_encoder, name="S", store=store, precision="fp32", block_size=16)
    found = [student.embed(corpus, "document", np.arange(60)), student.embed(queries, "query", np.arange(40))]
    return np.concatenate([np.asarray(embeddings.rows(slice(None))) for embeddings in found])


def _sound(material: Material, room: str) -> tuple[Path, Values]:
    """A folder with a whole store, and what it answers; made once."""
    folder = material.work / f"sound-{room}"
    if not (folder / "answer.npy").exists():
        shutil.rmtree(folder, ignore_errors=True)
        answer = _asked(material, room, Store(folder / "store"))
        np.save(folder / "answer.npy", answer)
    return folder / "store", np.load(folder / "answer.npy")


def _rotten(material: Material, folder: Path, room: str, seed: int) -> str:
    sound, expected = _sound(material, room)
    copy, source = Path(shutil.copytree(sound, folder / "store")), random.Random(seed)
    files = sorted(path for path in (copy / room).rglob("*") if path.is_file() and path.stat().st_size)
    path = source.choice(files)
    damage = source.choices(list(DAMAGES), [6, 1, 1, 1, 1, 1])[0]
    DAMAGES[damage](path, source, files)
    for look in ("first", "second"):
        store = Store(copy)
        try:
            answer = _asked(material, room, store)
        except InputError:
            return ""
        except Exception as error:  # whatever it is: a traceback for the user
            return f"{damage} in {path.suffix}, {look} look: {type(error).__name__}: {str(error)[:120]}"
        counted = store.ledger.as_dict()
        anew = any(number for name, number in counted.items() if name.endswith(("scored", "encoded")))
        same = np.array_equal(answer, expected) or (anew and np.allclose(answer, expected, rtol=0, atol=TOLERANCE))
        if not same:
            largest = np.abs(answer - expected).max() if answer.shape == expected.shape else answer.shape
            return f"{damage} in {path.suffix}, {look} look: other values, silently (by up to {largest})"
    return ""


def _flip(path: Path, source: random.Random, _: list[Path]) -> None:
    data = bytearray(path.read_bytes())
    data[source.randrange(len(data))] ^= 1 << source.randrange(8)
    path.write_bytes(data)


def _zero(path: Path, source: random.Random, _: list[Path]) -> None:
    data = bytearray(path.read_bytes())
    start, length = source.randrange(len(data)), source.choice((64, 512, 4096))
    data[start : start + length] = bytes(min(length, len(data) - start))
    path.write_bytes(data)


def _cut(path: Path, source: random.Random, _: list[Path]) -> None:
    path.write_bytes(path.read_bytes()[: source.randrange(path.stat().st_size)])


def _replace(path: Path, source: random.Random, _: list[Path]) -> None:
    path.write_bytes(source.choice((b"", b"something else", pickle.dumps([1, 2]), b"PAR1" * 20, b"\x93NUMPY\x01\x00")))


def _no_numbers(path: Path, source: random.Random, _: list[Path]) -> None:
    data = bytearray(path.read_bytes())
    start = source.randrange(len(data)) // 4 * 4
    data[start : start + 16] = b"\x00\x00\xc0\x7f" * 4
    path.write_bytes(data)


def _exchange(path: Path, source: random.Random, files: list[Path]) -> None:
    path.write_bytes(source.choice([other for other in files if other.suffix == path.suffix]).read_bytes())


DAMAGES: dict[str, Callable[[Path, random.Random, list[Path]], None]] = {
    "a flipped bit": _flip, "zeros": _zero, "a cut": _cut, "another file": _replace, "NaN": _no_numbers,
    "another part's content": _exchange,
}  # fmt: skip
