r"""Distils a teacher and assistants into a student. A run that was stopped resumes under the same command.

Example:
  st-mta distill --collection pydocs --teacher minilm --student minilm --student-layers 0 3 5 \
      --assistants bm25 --output-dir out
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from st_mta.cli.show import show
from st_mta.cli.show_plan import show_plan
from st_mta.options import option
from st_mta.recipes.by_name import filled_by_recipe
from st_mta.recipes.distill import MACHINE, DistillConfig, distill
from st_mta.recipes.ladder import folder_of
from st_mta.recipes.plan import plan


@filled_by_recipe
@dataclass(kw_only=True)
class Config(DistillConfig):
    """Options of ``st-mta distill``."""

    plan: bool = option(
        False,
        group=MACHINE,
        basic=True,
        help="Say what every stage will read, compute and write and about how long it will take here, and stop: "
        "nothing is written.",
    )
    plan_json: bool = option(False, group=MACHINE, help="The same as JSON.")


def run(config: Config) -> None:
    """Runs, or plans, and prints."""
    if config.plan_json:
        print(json.dumps(plan(config).as_dict(), indent=2))
    elif config.plan:
        show_plan(plan(config))
    else:
        folder = folder_of(Path(config.output_dir), config.ladder[-1]) if config.ladder else config.output_dir
        show(distill(config), str(folder))
