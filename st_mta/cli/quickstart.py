"""``st-mta quickstart``."""

from __future__ import annotations

from st_mta.cli.parse import parse
from st_mta.cli.show import show
from st_mta.recipes.quickstart import QuickstartConfig, quickstart


def run(arguments: list[str]) -> None:
    """Parses, runs, prints."""
    config = parse(QuickstartConfig, arguments, "quickstart", "A true distillation in minutes, offline, on a CPU.")
    show(quickstart(config), config.output_dir)
