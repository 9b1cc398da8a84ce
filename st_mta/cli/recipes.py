"""Lists the recipes for ``st-mta distill --recipe NAME``, or shows one of them as a file for ``--config``.

Example:
  st-mta recipes mta4dpr
"""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.checked import Checked
from st_mta.cli.show import indented
from st_mta.options import option
from st_mta.recipes import Recipe, load_recipe, recipe_names


@dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """Options of ``st-mta recipes``."""

    name: str | None = option(None, bare=True, help="The recipe to show; without it all are listed.")


def run(config: Config) -> None:
    """Prints the list, or the recipe's options with where they come from."""
    if config.name is not None:
        print(load_recipe(config.name).as_yaml(), end="")
        return
    for name in recipe_names():
        print(_entry(load_recipe(name)))
    print("st-mta recipes NAME shows the options; st-mta distill --recipe NAME ... takes them, and others win.")


def _entry(recipe: Recipe) -> str:
    lines = [recipe.summary, f"Paper: {recipe.paper}", f"Here: {recipe.differs}"]
    lines += [f"To name: {', '.join(recipe.needs)}"] if recipe.needs else []
    return f"{recipe.name}\n{indented(lines)}\n"
