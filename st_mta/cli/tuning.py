"""What ``st-mta teacher`` and ``st-mta assistants`` have in common: how models are tuned."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from st_mta.recipes.tune import TuningSettings


@dataclass(frozen=True, kw_only=True)
class TuningOptions(TuningSettings):
    """Options of both commands."""

    base: str = field(metadata={"help": "The pretrained encoder to tune: a Hub id, a folder, or minilm."})
    collection: str = field(metadata={"help": "A folder in BEIR layout, a Hub data set, a BEIR name, or pydocs."})
    output_dir: str = field(metadata={"help": "Folder for the models and their quality."})
    store: str | None = field(
        default=None, metadata={"help": "Folder of stored scores and embeddings (the user's cache if not given)."}
    )

    def settings(self) -> TuningSettings:
        """The same as the functions take them."""
        return TuningSettings(**{one.name: getattr(self, one.name) for one in fields(TuningSettings)})
