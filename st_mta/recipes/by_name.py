"""Recipes: published methods and models as options of ``st-mta distill``, found by their names."""

from __future__ import annotations

import difflib
import functools
import re
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from st_mta.errors import InputError

FOLDER = Path(__file__).with_name("methods")
"""One file for each: a head of these names, a line of three dashes, and options as in a file for ``--config``."""
BETWEEN = "\n---\n"
HEAD = ("summary", "paper", "differs", "needs", "takes", "trains")
WIDTH = 110
OF_A_COMMAND = (
    "collection teacher teacher_view student student_layers student_vocabulary ladder assistants output_dir device "
    "store training overwrite"
).split()
"""Options that are no arguments of a training."""

Config = TypeVar("Config")


@dataclass(frozen=True)
class Recipe:
    """A published method, or one of its models, as options.

    Attributes:
        name: Of the file, as users write it.
        summary: What it does, in a sentence.
        paper: Where it comes from.
        differs: What is otherwise here than there.
        options: Option of ``DistillConfig`` -> value.
        text: The same options as they stand in the file, with their comments.
        needs: Options that the user has to give beside, and what they are to name.
        takes: What it is expected to take at full scale; "" where it has no scale of its own.
        trains: The only kind of student that it is for ("cross-encoder"); "" where it does not matter.
    """

    name: str
    summary: str
    paper: str
    differs: str
    options: dict[str, Any]
    text: str
    needs: dict[str, str] = field(default_factory=dict)
    takes: str = ""
    trains: str = ""

    @property
    def arguments(self) -> dict[str, Any]:
        """The options as ``MultiAssistantTrainingArguments`` takes them; models and data are given to a trainer."""
        named = {name: value for name, value in self.options.items() if name not in OF_A_COMMAND}
        return {**named, **(self.options.get("training") or {})}

    def as_yaml(self) -> str:
        """A file for ``--config``, the head as comments."""
        lines = [f"st-mta distill --recipe {self.name}", self.summary, f"Paper: {self.paper}", f"Here: {self.differs}"]
        lines += [f"To name: {option}: {what}" for option, what in self.needs.items()]
        lines += [f"Takes: {self.takes}"] if self.takes else []
        head = "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False) for line in lines)
        return textwrap.indent(head, "# ", lambda _: True) + "\n" + self.text


def recipe_names() -> list[str]:
    """The recipes there are, by the alphabet."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(name: str) -> Recipe:
    """The recipe of this name; underscores are taken for dashes.

    Raises:
        InputError: If there is none.
    """
    wanted, names = str(name).strip().lower().replace("_", "-"), recipe_names()
    if wanted not in names:
        near = difflib.get_close_matches(wanted, names, n=1)
        raise InputError(
            expected=f"a recipe: {', '.join(names)}",
            got=repr(name),
            remedy=f"did you mean {near[0]!r}?" if near else "st-mta recipes says what each of them does",
        )
    return _read(FOLDER / f"{wanted}.yaml")


@functools.cache
def _read(path: Path) -> Recipe:
    head, _, text = path.read_text(encoding="utf-8").partition(BETWEEN)
    said = {name: value for name, value in yaml.safe_load(head).items() if name in HEAD}
    return Recipe(path.stem, **said, options=yaml.safe_load(text) or {}, text=text)


def with_recipe(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options with those of the recipe that they name, where they do not say otherwise.

    Args:
        given: Option -> value; "recipe" names the recipe.

    Raises:
        InputError: If there is no such recipe, or an option that it leaves to the user is not given.
    """
    if given.get("recipe") is None:
        return dict(given)
    recipe = load_recipe(given["recipe"])
    found = {**recipe.options, **given, "recipe": recipe.name}
    if open_ := {option: what for option, what in recipe.needs.items() if not found.get(option)}:
        raise InputError(
            expected=f"{' and '.join(f'{name} ({what})' for name, what in open_.items())} for recipe {recipe.name}",
            got="no such option",
            remedy=f"add {' and '.join('--' + name.replace('_', '-') for name in open_)}",
        )
    return found


@contextmanager
def crediting_recipe(name: str | None, options: Mapping[str, Any]) -> Iterator[None]:
    """Has what is refused inside say which of the options that it names were set by a recipe, and not by the user.

    Args:
        name: The recipe's; without one nothing is added.
        options: Option -> value, as the run has them.
    """
    try:
        yield
    except InputError as error:
        named = [] if name is None else _named_in(str(error), load_recipe(name), options)
        if not named:
            raise
        set_by = f"{' and '.join(named)} {'is' if len(named) == 1 else 'are'} set by recipe {name}"
        raise InputError(
            expected=error.expected,
            got=error.got,
            consequence=error.consequence,
            remedy=f"{error.remedy} ({set_by}: st-mta recipes {name})",
        ) from error


def _named_in(message: str, recipe: Recipe, options: Mapping[str, Any]) -> list[str]:
    """Options with the recipe's values that a message names, as flags or as fields."""
    words = set(re.findall(r"[a-z0-9]+(?:_[a-z0-9]+)*", message.replace("-", "_")))
    return [option for option, value in recipe.options.items() if option in words and options.get(option) == value]


def filled_by_recipe(config_class: type[Config]) -> type[Config]:
    """Class decorator of a dataclass with a field ``recipe``: what is not given is as the recipe says."""
    made = config_class.__init__

    @functools.wraps(made)
    def initialise(self: Any, **given: Any) -> None:
        completed = with_recipe(given)
        with crediting_recipe(completed.get("recipe"), completed):
            made(self, **completed)

    config_class.__init__ = initialise  # type: ignore[method-assign]
    config_class.completed = staticmethod(with_recipe)  # type: ignore[attr-defined]
    return config_class
