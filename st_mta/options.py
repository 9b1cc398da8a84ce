"""Options of dataclasses: name, default, help and place in ``--help`` written once, where the field is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, field
from typing import Any


def option(
    default: Any = MISSING,
    *,
    help: str,
    group: str = "Other options",
    basic: bool = False,
    choices: Sequence[Any] | None = None,
    aliases: Sequence[str] = (),
    factory: Callable[[], Any] | None = None,
    section: type[Any] | None = None,
) -> Any:
    """A dataclass field that is also a flag of the command line and a key of its YAML file.

    Args:
        default: Its default; without one the option is required.
        help: One sentence, without the default, which ``--help`` adds.
        group: Heading under which ``--help`` lists it.
        basic: Whether ``--help`` shows it; ``--help-all`` shows every option.
        choices: The values allowed, where they can be listed.
        aliases: Other flags for the same option, such as "--epochs".
        factory: Makes a mutable default.
        section: A dataclass: the option is a mapping with some of its fields, a section of the YAML file.
    """
    metadata = {
        "help": help, "group": group, "basic": basic, "choices": choices, "aliases": list(aliases), "section": section,
    }  # fmt: skip
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)
