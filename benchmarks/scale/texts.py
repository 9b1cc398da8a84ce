"""A collection of made-up texts as large as asked for, in the layout of BEIR and the proportions of MS MARCO."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from st_mta.atomic import atomic_path
from st_mta.types import FloatArray, IntArray

STOPWORDS = (
    "the of and to a in is for or that it as with are by be on this an at not will was if there they "
    "no but then into their such these"
).split()
"""The most frequent words: those that BM25 leaves out."""
VOCABULARY, EXPONENT = 2**21, 1.07
"""Words to draw from, by a law of Zipf."""
MEAN_LENGTH, DEVIATION = 56, 0.38
"""Words of a passage, and the spread of their logarithm."""
QUERY_LENGTH, DEV, TEST = 6, 500, 500
AT_ONCE = 20_000


def write_collection(folder: Path, passages: int, queries: int, seed: int = 0) -> None:
    """Writes passages and queries; a query is some words of its one relevant passage.

    Args:
        folder: Where to.
        passages, queries: Their numbers; the last thousand queries, or a fifth of them, are for dev and test.
        seed: For the drawing.
    """
    random = np.random.default_rng(seed)
    share, words = _cumulated(), _Words()
    relevant = np.sort(random.permutation(passages)[:queries]) if queries <= passages else None
    asked = random.integers(0, passages, queries) if relevant is None else relevant
    written: list[tuple[int, str]] = []
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "corpus.jsonl") as path, open(path, "w", encoding="ascii") as file:
        for start in range(0, passages, AT_ONCE):
            texts = _texts(random, share, words, min(AT_ONCE, passages - start))
            file.writelines(
                f'{{"_id": "p{start + i}", "title": "", "text": "{text}"}}\n' for i, text in enumerate(texts)
            )
            here = asked[(asked >= start) & (asked < start + len(texts))]
            written += [(int(place), _question(random, texts[place - start])) for place in here]
    _write_queries(folder, written, random)


def _write_queries(folder: Path, written: list[tuple[int, str]], random: np.random.Generator) -> None:
    order = random.permutation(len(written))
    held = min(DEV + TEST, len(written) // 5)
    splits = {"dev": order[: held // 2], "test": order[held // 2 : held], "train": order[held:]}
    for split, rows in splits.items():
        lines = ["query-id\tcorpus-id\tscore", *(f"q{row}\tp{written[row][0]}\t1" for row in np.sort(rows).tolist())]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    with atomic_path(folder / "queries.jsonl") as path, open(path, "w", encoding="ascii") as file:
        file.writelines(json.dumps({"_id": f"q{row}", "text": text}) + "\n" for row, (_, text) in enumerate(written))


def _cumulated() -> FloatArray:
    """(V,) the law of Zipf, added up."""
    weights = np.arange(1, VOCABULARY + 1, dtype=np.float64) ** -EXPONENT
    return np.asarray(np.cumsum(weights) / weights.sum())


def first_words(count: int) -> list[str]:
    """The most frequent words."""
    return list(map(_Words().__getitem__, range(count)))


class _Words(dict[int, str]):
    """Rank -> word, made when it is first drawn; those that are no stop words end in x, as none of these does."""

    def __missing__(self, rank: int) -> str:
        word = STOPWORDS[rank] if rank < len(STOPWORDS) else _word(rank - len(STOPWORDS))
        self[rank] = word
        return word


def _word(rank: int) -> str:
    """A rank in syllables: the frequent words are the short ones."""
    syllables = ""
    while rank or not syllables:
        rank, rest = divmod(rank, 100)
        syllables += "bdfgklmnprstvzchjwxq"[rest // 5] + "aeiou"[rest % 5]
    return syllables + "x"


def _texts(random: np.random.Generator, share: FloatArray, words: _Words, count: int) -> list[str]:
    lengths: IntArray = np.exp(random.normal(np.log(MEAN_LENGTH) - DEVIATION**2 / 2, DEVIATION, count)).astype(
        np.int64
    )
    lengths = np.clip(lengths, 8, 250)
    drawn = np.searchsorted(share, random.random(int(lengths.sum()))).tolist()
    ends = np.cumsum(lengths).tolist()
    return [" ".join(map(words.__getitem__, drawn[start:end])) for start, end in zip([0, *ends], ends)]


def _question(random: np.random.Generator, text: str) -> str:
    found = text.split()
    return " ".join(found[place] for place in np.sort(random.permutation(len(found))[:QUERY_LENGTH]))
