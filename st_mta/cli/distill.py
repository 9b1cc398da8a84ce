"""``st-mta distill``."""

from __future__ import annotations

from st_mta.cli.parse import parse
from st_mta.cli.show import show
from st_mta.recipes.distill import DistillConfig, distill


def run(arguments: list[str]) -> None:
    """Parses, runs, prints."""
    config = parse(
        DistillConfig,
        arguments,
        "distill",
        "Distils a teacher and assistants into a student. A run that was stopped goes on under the same command.",
    )
    show(distill(config), config.output_dir)
