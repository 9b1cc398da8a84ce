r"""Distils a teacher and assistants into a student. A run that was stopped resumes under the same command.

Example:
  st-mta distill --collection pydocs --teacher minilm --student minilm --student-layers 0 3 5 \
      --assistants bm25 --output-dir out
"""

from __future__ import annotations

from pathlib import Path

from st_mta.cli.show import show
from st_mta.recipes.distill import DistillConfig as Config
from st_mta.recipes.distill import distill
from st_mta.recipes.ladder import folder_of


def run(config: Config) -> None:
    """Runs, prints."""
    folder = folder_of(Path(config.output_dir), config.ladder[-1]) if config.ladder else config.output_dir
    show(distill(config), str(folder))
