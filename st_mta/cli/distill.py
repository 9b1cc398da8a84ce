r"""Distils a teacher and assistants into a student. A run that was stopped resumes under the same command.

Example:
  st-mta distill --collection pydocs --teacher minilm --student minilm --student-layers 0 3 5 \
      --assistants bm25 --output-dir out
"""

from __future__ import annotations

from st_mta.cli.show import show
from st_mta.recipes.distill import DistillConfig as Config
from st_mta.recipes.distill import distill


def run(config: Config) -> None:
    """Runs, prints."""
    show(distill(config), config.output_dir)
