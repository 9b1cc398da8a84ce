"""Options of dataclasses: name, default, range, help and place in ``--help`` written once, where the field is."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import MISSING, field
from typing import Any

UNGROUPED = "Options"


def option(
    default: Any = MISSING,
    *,
    help: str,
    group: str = UNGROUPED,
    basic: bool = False,
    bare: bool = False,
    choices: Sequence[Any] | None = None,
    aliases: Sequence[str] = (),
    factory: Callable[[], Any] | None = None,
    section: type[Any] | None = None,
    within: Container[Any] | None = None,
    none: bool = False,
) -> Any:
    """A dataclass field that is also a flag of the command line and a key of its YAML file.

    Args:
        default: Its default; without one the option is required.
        help: One sentence, without the default, which ``--help`` adds.
        group: Heading under which ``--help`` lists it.
        basic: Whether ``--help`` shows it, as it does options of no group; ``--help-all`` shows every option.
        bare: Whether it may stand without its flag.
        choices: The values allowed, where they can be listed.
        aliases: Other flags for the same option, such as "--epochs".
        factory: Makes a mutable default.
        section: A dataclass: the option is a mapping with some of its fields, a section of the YAML file.
        within: The values allowed, where they can be described: a [`st_mta.ranges.Range`], or what else knows ``in``
            and ``str``. In a list it holds for each.
        none: Whether the word "none" stands for None on the command line though the option takes texts without
            choices: no text of that name is meant then.
    """
    metadata = dict(
        group=group,
        basic=basic,
        bare=bare,
        choices=choices,
        aliases=aliases,
        section=section,
        within=within,
        none=none,
        help=help,
    )
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)
