"""What ``st-mta teacher`` and ``st-mta assistants`` have in common: how models are tuned."""

from __future__ import annotations

from dataclasses import dataclass, field

from st_mta.recipes.tune import TuningSettings


@dataclass
class TuningOptions:
    """Options of both commands."""

    base: str = field(metadata={"help": "The pretrained encoder to tune: a Hub id, a folder, or minilm."})
    collection: str = field(metadata={"help": "A folder in BEIR layout, a Hub data set, a BEIR name, or pydocs."})
    output_dir: str = field(metadata={"help": "Folder for the models and their quality."})
    epochs: float = field(default=1.0, metadata={"help": "Passes over the training queries."})
    batch_size: int = field(default=32, metadata={"help": "Queries per training step."})
    learning_rate: float = field(default=5e-5, metadata={"help": "Peak learning rate."})
    num_negatives: int = field(default=4, metadata={"help": "Hard negatives per query."})
    range_min: int = field(default=0, metadata={"help": "Ranks skipped at the top when negatives are drawn."})
    range_max: int = field(default=30, metadata={"help": "Depth from which negatives are drawn."})
    max_queries: int | None = field(default=None, metadata={"help": "At most so many training queries."})
    max_length: int | None = field(default=None, metadata={"help": "Longest text in tokens."})
    seed: int = field(default=42, metadata={"help": "Seed of samples and training."})
    device: str | None = field(default=None, metadata={"help": "cpu, or whatever the machine offers if not given."})
    precision: str = field(default="auto", metadata={"help": "auto (bf16 where it is faster), fp32 or bf16."})
    store: str | None = field(default=None, metadata={"help": "Folder of stored scores and embeddings."})

    def settings(self) -> TuningSettings:
        """The same as the functions take them."""
        same = (
            "epochs batch_size learning_rate num_negatives range_min range_max max_queries max_length seed device "
            "precision"
        ).split()
        return TuningSettings(**{name: getattr(self, name) for name in same})
