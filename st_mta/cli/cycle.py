"""Has a bi-encoder and a cross-encoder of one base teach each other on your texts, without judgements.

Example:
  st-mta cycle --base minilm --collection my-data --cycles 3 --output-dir out
"""

from __future__ import annotations

from st_mta.cli.show import show
from st_mta.recipes.cycle import CycleConfig as Config
from st_mta.recipes.cycle import cycle, last_folder


def run(config: Config) -> None:
    """Runs, prints."""
    show(cycle(config), last_folder(config))
