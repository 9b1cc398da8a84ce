"""A true distillation in minutes, offline, on a CPU.

Example:
  st-mta quickstart --output-dir quickstart-out
"""

from __future__ import annotations

from st_mta.cli.show import show
from st_mta.recipes.quickstart import QuickstartConfig as Config
from st_mta.recipes.quickstart import quickstart


def run(config: Config) -> None:
    """Runs, prints."""
    show(quickstart(config), config.output_dir)
