"""``st-mta assistants``."""

from __future__ import annotations

from dataclasses import dataclass, field

from st_mta.cli.parse import parse
from st_mta.cli.show import wide_console
from st_mta.cli.tuning import TuningOptions
from st_mta.recipes.make_assistants import ASSISTANTS, make_assistants
from st_mta.report import console_table


@dataclass(frozen=True, kw_only=True)
class AssistantsConfig(TuningOptions):
    """Options of ``st-mta assistants``."""

    kinds: list[str] = field(
        default_factory=lambda: ["contrastive", "pooled", "late-interaction"],
        metadata={"help": f"Which to make: some of {', '.join(ASSISTANTS)}."},
    )
    teacher: str | None = field(default=None, metadata={"help": "Needed by 'imitating': named as for distill."})


def run(arguments: list[str]) -> None:
    """Makes diverse assistants from one base, and prints how good they are."""
    config = parse(AssistantsConfig, arguments, "assistants", "Make diverse assistants from one pretrained encoder.")
    made = make_assistants(
        config.base,
        config.collection,
        config.output_dir,
        kinds=config.kinds,
        teacher=config.teacher,
        settings=config.settings(),
        store=config.store,
    )
    rows = [
        {"Assistant": one.name, **{name: f"{value:.3f}" for name, value in one.dev.items()}, "Model": one.model}
        for one in made
    ]
    console = wide_console()
    console.print(console_table(rows, title="Assistants on the development split"))
    console.print(f"st-mta distill --assistants {' '.join(one.model for one in made)} ...", soft_wrap=True)
