"""What ``st-mta teacher`` and ``st-mta assistants`` have in common: how models are tuned."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from st_mta.options import option
from st_mta.recipes.options import INPUTS, OnCollection, Stored
from st_mta.recipes.tune import TuningSettings


@dataclass(frozen=True, kw_only=True)
class TuningConfig(TuningSettings, Stored, OnCollection):
    """Options of both commands."""

    base: str = option(group=INPUTS, help="The pretrained encoder to tune: a Hub id, a folder, or minilm.")
    output_dir: str = option(group=INPUTS, help="Folder for the models and their quality.")

    def arguments(self) -> dict[str, Any]:
        """The options as the recipes take them, those of the tuning as ``settings``."""
        given = dict(vars(self))
        settings = {one.name: given.pop(one.name) for one in fields(TuningSettings)}
        return {**given, "settings": TuningSettings(**settings)}
