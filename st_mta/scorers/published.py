"""Scores from a published store: matched to a collection by its texts instead of its ids."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import snapshot_download

from st_mta.errors import InputError, loading
from st_mta.scorers.stored import Pairs, StoredScores
from st_mta.stores import text_keys
from st_mta.stores.fingerprints import fingerprint_values
from st_mta.stores.scores import SCHEMA
from st_mta.stores.store import DESCRIPTION, StoredScorer
from st_mta.types import FloatArray, IntArray, Texts

LONGEST_NAME = 200


class PublishedScores(StoredScores):
    """One scorer's pairs of a folder laid out as a store (``scores/FINGERPRINT/part-*.parquet``).

    Every text that has a stored key gets the stored scores, whatever its id and in whatever collection.

    Args:
        spec: A folder or the id of a Hub dataset, after it "#" and the scorer's name or the beginning of its
            fingerprint where there are several ("me/scores#bm25").
        name: Name for reports, by default the scorer's own.

    Raises:
        InputError: If there are no scores, or it is unclear whose. When used: if no pair belongs to the collection.
    """

    def __init__(self, spec: str, name: str | None = None) -> None:
        source, _, wanted = spec.partition("#")
        self.path = Path(source)
        folder, scorer = _open(source, wanted)
        self.name = name or scorer.name or scorer.fingerprint[:8]
        self.parts = _parts(folder, scorer.fingerprint)
        self._scorer = scorer.fingerprint
        self.bounded = scorer.kind in ("bm25", "bi-encoder", "late-interaction", "sparse")  # as their classes say

    @property
    def fingerprint(self) -> str:
        """Digest of the scorer's own fingerprint and the parts (whose names are unique)."""
        return fingerprint_values("published", self._scorer, [part.name for part in self.parts])

    def _match(self, queries: Texts, corpus: Texts) -> Pairs:
        with duckdb.connect() as connection:
            for table, texts in (("queries", queries), ("passages", corpus)):
                connection.register(table, pa.table({"key": text_keys(texts), "position": np.arange(len(texts))}))
            connection.register("stored", pa.concat_tables(map(_read, self.parts)))
            found = connection.execute(
                "SELECT queries.position * ? + passages.position AS code, min(score) AS score FROM stored "
                "JOIN queries ON stored.query = queries.key JOIN passages ON stored.passage = passages.key "
                "GROUP BY code ORDER BY code",
                [len(corpus)],
            ).fetchnumpy()
        self._check_any_known(len(found["code"]))
        self._check_finite(found["score"], found["code"], queries, corpus)
        return Pairs(found["code"].astype(np.int64), found["score"].astype(np.float32))

    def _check_finite(self, scores: FloatArray, codes: IntArray, queries: Texts, corpus: Texts) -> None:
        wrong = ~np.isfinite(scores)
        if wrong.any():
            row = int(wrong.argmax())
            query, passage = queries.take_ids([codes[row] // len(corpus)]), corpus.take_ids([codes[row] % len(corpus)])
            raise InputError(
                expected=f"finite scores in {self.path}",
                got=f"{scores[row]} for query {query[0]!r} and passage {passage[0]!r} ({int(wrong.sum())} such pairs)",
                remedy="leave pairs without a score out, and publish again",
            )


def _open(source: str, wanted: str) -> tuple[Path, StoredScorer]:
    """The folder and the one scorer of it that is meant; of a dataset only that scorer's parts are downloaded."""
    local = Path(source).is_dir()
    folder = Path(source if local else _download(source, f"scorers/*/{DESCRIPTION}"))
    scorer = _choose(source, wanted, _contents(folder, local))
    _refuse_strange(folder, scorer)
    return folder if local else Path(_download(source, f"scores/{scorer.fingerprint}/*")), scorer


def _contents(folder: Path, local: bool) -> list[StoredScorer]:
    """The scorers of a folder, and how many parts each has (they are not read); of a dataset, those described."""
    keys = sorted({path.name for room in ("scores", "scorers") for path in (folder / room).glob("*") if path.is_dir()})
    found = [StoredScorer(key, *_described(folder, key), len(_parts(folder, key)), 0, 0) for key in keys]
    return [scorer for scorer in found if scorer.pairs or not local]


def _parts(folder: Path, fingerprint: str) -> list[Path]:
    return sorted((folder / "scores" / fingerprint).glob("part-*.parquet"))


def _described(folder: Path, fingerprint: str) -> tuple[str, str]:
    """Name and kind as somebody else wrote them; empty where there are none that can be used."""
    try:
        described = json.loads((folder / "scorers" / fingerprint / DESCRIPTION).read_text("utf-8"))
        name, kind = described["name"], described["kind"]
    except (OSError, ValueError, RecursionError, TypeError, KeyError):
        return "", ""
    usable = all(isinstance(text, str) and text.isprintable() and len(text) <= LONGEST_NAME for text in (name, kind))
    return (name, kind) if usable else ("", "")


def _refuse_strange(folder: Path, scorer: StoredScorer) -> None:
    path = folder / "scorers" / scorer.fingerprint / DESCRIPTION
    if path.exists() and not scorer.name:
        raise InputError(
            expected=f"an object with name and kind, each one line of at most {LONGEST_NAME} printable characters, "
            f"in {path}",
            got=repr(path.read_bytes()[:80]),
            consequence="scores would be used of which nobody says whose they are",
            remedy="correct the file, or take another dataset",
        )


def _read(part: Path) -> pa.Table:
    try:
        table = pq.read_table(part, page_checksum_verification=True)
        if not table.schema.equals(SCHEMA):
            raise pa.ArrowInvalid(f"its columns are {', '.join(table.column_names)}")
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            expected=f"query, passage and score of stored pairs in {part}",
            got=f"a file that cannot be used ({' '.join(str(error).split())})",
            consequence="its pairs would count as not scored",
            remedy="download or copy it again",
        ) from error
    return table


def _download(dataset_id: str, pattern: str) -> str:
    expected = "stored scores: a folder, or a dataset of the Hub made by st-mta push-scores"
    remedy = "check the spelling, the network and, for a private dataset, your login (hf auth login)"
    with loading(expected, dataset_id, remedy):
        return str(snapshot_download(dataset_id, repo_type="dataset", allow_patterns=[pattern]))


def _choose(source: str, wanted: str, stored: list[StoredScorer]) -> StoredScorer:
    found = [scorer for scorer in stored if wanted in ("", scorer.name) or scorer.fingerprint.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(f"{scorer.name} ({scorer.fingerprint[:8]})" for scorer in stored)
    raise InputError(
        expected=f"one scorer of {source} ({names or 'which holds none'})",
        got=f"{len(found)} that fit {wanted!r}",
        remedy=f"write the name or fingerprint behind a #, as in stored:{source}#"
        + (stored[0].fingerprint[:8] if stored else "bm25"),
    )
