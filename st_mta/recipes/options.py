"""Options that several commands have; a command's own dataclass inherits them."""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.options import option
from st_mta.scorers import ScorerOptions
from st_mta.stores import Store

INPUTS = "Inputs and output"
SOURCES = "a folder in BEIR layout, a Hub data set, a BEIR name, or pydocs"
STORE = "Folder of stored scores and embeddings (default: the user's cache)."


@dataclass(frozen=True, kw_only=True)
class OnCollection:
    """Of commands that read a collection."""

    collection: str = option(group=INPUTS, help="A folder in BEIR layout, a Hub data set, a BEIR name, or pydocs.")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Of commands that keep or read scores and embeddings."""

    store: str | None = option(None, help=STORE)


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """How models are run."""

    max_length: int | None = option(None, help="Longest text in tokens (default: the model's own limit).")
    precision: str = option("auto", help="auto (bf16 where it is faster), fp32 or bf16.")


@dataclass(frozen=True, kw_only=True)
class Scoring(Stored, ModelSettings):
    """Of commands that score."""

    def scorer_options(self) -> ScorerOptions:
        """How their scorers are loaded."""
        return ScorerOptions(Store(self.store), self.precision, max_length=self.max_length)
