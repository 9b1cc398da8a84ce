"""Options that several commands have; a command's own dataclass inherits them."""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.checked import Checked
from st_mta.options import option
from st_mta.outputs import Folders
from st_mta.precision import PRECISIONS, Devices
from st_mta.ranges import count_from
from st_mta.scorers import ScorerOptions
from st_mta.stores import Store

INPUTS = "Inputs and output"
SOURCES = "a folder in BEIR layout, a Hub data set, a BEIR name, or pydocs"
DEVICES, STORES = Devices(), Folders()
STORE = "Folder of stored scores and embeddings (default: the user's cache)."


@dataclass(frozen=True, kw_only=True)
class OnCollection(Checked):
    """Of commands that read a collection."""

    collection: str = option(group=INPUTS, help="A folder in BEIR layout, a Hub data set, a BEIR name, or pydocs.")


@dataclass(frozen=True, kw_only=True)
class Stored(Checked):
    """Of commands that keep or read scores and embeddings."""

    store: str | None = option(None, within=STORES, help=STORE)


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Checked):
    """How models are run."""

    max_length: int | None = option(
        None, within=count_from(1), help="Longest text in tokens (default: the model's own limit)."
    )
    precision: str = option(
        "auto",
        choices=("auto", *PRECISIONS),
        help="Number format; auto is bf16 where the machine multiplies it faster.",
    )


@dataclass(frozen=True, kw_only=True)
class Scoring(Stored, ModelSettings):
    """Of commands that score."""

    def scorer_options(self) -> ScorerOptions:
        """How their scorers are loaded."""
        return ScorerOptions(Store(self.store), self.precision, max_length=self.max_length)
