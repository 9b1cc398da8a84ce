"""A fusion of several scorers as one scorer: the usual way to a teacher that knows more than each of its parts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from st_mta.atomic import atomic_write_text
from st_mta.errors import InputError
from st_mta.scorers.positions import checked_pairs
from st_mta.stores.fingerprints import fingerprint_values
from st_mta.types import FloatArray, IntArray, Lists, Scorer, Texts

SUFFIX = ".fusion.json"  # ending of the file of a fusion


class FusedScorer(Scorer):
    """The weighted sum of several scorers' raw scores; re-ranks only.

    A softmax over such sums is the log-linear pool of the scorers' distributions, each at the temperature its weight
    implies. The parts keep their own scores in their stores, so a fusion costs nothing where they are known.

    Args:
        parts: The scorers.
        weights: One positive weight per scorer, in the inverse unit of its scores.
        name: Short unique name for reports.

    Raises:
        InputError: If there are no parts, or the weights do not fit them.
    """

    kind = "fusion"

    def __init__(self, parts: Sequence[Scorer], weights: Sequence[float], name: str = "fusion") -> None:
        self.name = name
        self.parts = list(parts)
        self.weights = [float(weight) for weight in weights]
        if not self.parts or len(parts) != len(weights) or not all(0 < weight < np.inf for weight in self.weights):
            raise InputError(
                expected="one or more scorers and a positive weight for each",
                got=f"{[part.name for part in self.parts]} with {self.weights}",
                remedy="leave out scorers of weight 0, or fit the weights anew with st-mta teacher",
            )
        self.parameters = sum(part.parameters for part in self.parts)
        self.bounded = all(part.bounded for part in self.parts)
        self.partial = any(part.partial for part in self.parts)
        self.timed = all(part.timed for part in self.parts)
        self.listwise = any(part.listwise for part in self.parts)
        self.ordered = any(part.ordered for part in self.parts)

    @property
    def fingerprint(self) -> str:
        """Digest of the parts' fingerprints and weights."""
        return fingerprint_values(self.kind, [[part.fingerprint, w] for part, w in zip(self.parts, self.weights)])

    @property
    def pairs_per_second(self) -> float | None:
        """What its parts took together; None where one of them computed nothing."""
        rates = [rate for part in self.parts if (rate := part.pairs_per_second) is not None]
        return 1 / sum(1 / rate for rate in rates) if len(rates) == len(self.parts) else None

    def score(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """(P,) float32; NaN where a part that only has stored scores knows nothing about the pair."""
        query_positions, passage_positions = checked_pairs(queries, corpus, query_positions, passage_positions)
        return self._weighted(part.score(queries, corpus, query_positions, passage_positions) for part in self.parts)

    def score_lists(self, queries: Texts, corpus: Texts, lists: Lists) -> FloatArray:
        """(P,) float32; the weighted sum of what each part makes of whole lists."""
        return self._weighted(part.score_lists(queries, corpus, lists) for part in self.parts)

    def _weighted(self, scores: Iterable[FloatArray]) -> FloatArray:
        """(P,) from the scores of each part, (P,)."""
        total = sum(weight * of_part.astype(np.float64) for weight, of_part in zip(self.weights, scores))
        return np.asarray(total, dtype=np.float32)


def write_fusion(path: Path, parts: Sequence[str], weights: Sequence[float]) -> None:
    """Writes the parts' names and weights; folders beside the file are named relative to it."""
    names = [_relative(part, path.parent) for part in parts]
    atomic_write_text(path, json.dumps({"parts": names, "weights": [float(w) for w in weights]}, indent=2) + "\n")


def read_fusion(path: Path, above: Sequence[Path] = ()) -> tuple[list[str], list[float]]:
    """The parts, as users name scorers, and their weights, as [`write_fusion`] wrote them.

    Args:
        path: The file.
        above: Fusions that this one is a part of.

    Raises:
        InputError: If the file is missing, says something else, or is a part of itself.
    """
    if path.resolve() in above:
        remedy = "name other scorers as its parts"
        raise InputError(expected="a fusion of other scorers", got=f"{path}, a part of itself", remedy=remedy)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = [str(part) for part in content["parts"]]
        weights = [float(weight) for weight in content["weights"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            expected='a fusion: {"parts": [scorers], "weights": [numbers]}',
            got=f"{path} ({type(error).__name__}: {error})",
            remedy="write it with st-mta teacher, or correct it",
        ) from error
    parts = [_absolute(part, path.parent) for part in parts]
    for part in parts:
        if part.endswith(SUFFIX):
            read_fusion(Path(part), (*above, path.resolve()))
    return parts, weights


def _relative(part: str, folder: Path) -> str:
    prefix, path = _split(part)
    whole, folder = path.resolve(), folder.resolve()
    if not (path.is_absolute() or path.exists()) or not whole.is_relative_to(folder):
        return part
    return f"{prefix}./{whole.relative_to(folder).as_posix()}"


def _absolute(part: str, folder: Path) -> str:
    prefix, path = _split(part)
    return f"{prefix}{folder / path}" if str(part).removeprefix(prefix).startswith("./") else part


def _split(part: str) -> tuple[str, Path]:
    """A prefix that forces a kind, with its colon, and the rest."""
    prefix, colon, rest = part.partition(":")
    return (f"{prefix}:", Path(rest)) if colon and "/" not in prefix else ("", Path(part))
