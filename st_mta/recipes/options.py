"""Options that several commands have; a command's own dataclass inherits them."""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.checked import Checked
from st_mta.errors import InputError
from st_mta.options import option
from st_mta.outputs import Folders
from st_mta.precision import PRECISIONS, Devices, precision_name, resolve_precision
from st_mta.ranges import count_from
from st_mta.scorers import ScorerOptions
from st_mta.scorers.shards import SHARDS, Shard
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


@dataclass(frozen=True, kw_only=True)
class Sharded(Scoring):
    """Of commands whose work the jobs of an array share."""

    shard: str | None = option(
        None,
        within=SHARDS,
        basic=True,
        help="Compute only this share, such as 3/16 (counted from 1), into a --store that all jobs see, in the number "
        "format that --precision names; the same command without --shard then computes what is missing.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shard is not None and self.precision == "auto":
            here = precision_name(resolve_precision("auto", "cpu"))
            other = next(word for word in PRECISIONS if word != here)
            raise InputError(
                expected="--precision fp32 or bf16 beside --shard",
                got="auto, which another machine of the array may take for another format",
                consequence="the jobs would store scores of different numbers",
                remedy=f"write --precision {here} (or {other}), with --shard and without",
            )

    def the_shard(self) -> Shard | None:
        """Which share is wanted, or None for all of it."""
        return None if self.shard is None else Shard.parse(self.shard)
