"""Makes diverse assistants from one pretrained encoder, and measures them on the development split.

Example:
  st-mta assistants --base minilm --collection my-data --output-dir assistants --kinds contrastive pooled
"""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.cli.show import wide_console
from st_mta.cli.tuning import TuningConfig
from st_mta.options import option
from st_mta.recipes.make_assistants import ASSISTANTS, KINDS, make_assistants
from st_mta.recipes.options import INPUTS
from st_mta.report import console_table


@dataclass(frozen=True, kw_only=True)
class Config(TuningConfig):
    """Options of ``st-mta assistants``."""

    kinds: list[str] = option(
        factory=lambda: list(KINDS), group=INPUTS, basic=True, help=f"Which to make: some of {', '.join(ASSISTANTS)}."
    )
    teacher: str | None = option(
        None, group=INPUTS, basic=True, help="Needed by 'imitating': a scorer, named as for distill."
    )


def run(config: Config) -> None:
    """Makes the assistants and prints how good they are."""
    made = make_assistants(**config.arguments())
    rows = [
        {"Assistant": one.name, **{name: f"{value:.3f}" for name, value in one.dev.items()}, "Model": one.model}
        for one in made
    ]
    console = wide_console()
    console.print(console_table(rows, title="Assistants on the development split"))
    console.print(f"st-mta distill --assistants {' '.join(one.model for one in made)} ...", soft_wrap=True)
