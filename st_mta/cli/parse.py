"""One typed dataclass behind flags and a YAML file."""

from __future__ import annotations

import difflib
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import yaml
from transformers import HfArgumentParser

from st_mta.errors import InputError

Config = TypeVar("Config")


def parse(config_class: type[Config], arguments: list[str], command: str, description: str) -> Config:
    """Reads flags and, with ``--config FILE``, a YAML file whose keys are the flags' names (a flag wins).

    Args:
        config_class: The dataclass to fill.
        arguments: The command line after the verb.
        command: The verb.
        description: Printed by ``--help``.

    Raises:
        InputError: If the file is missing, is no YAML mapping, or has an unknown key.
        SystemExit: With code 2 on an unknown flag, 0 after ``--help``.
    """
    parser = HfArgumentParser(config_class, prog=f"st-mta {command}", description=description, allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE", help="YAML file with any of these options.")
    if (path := _config_path(arguments)) is not None:
        _set_defaults(parser, read_yaml(Path(path), config_class))
    namespace = vars(parser.parse_args(arguments))
    namespace.pop("config")
    return config_class(**namespace)


def _config_path(arguments: list[str]) -> str | None:
    for index, argument in enumerate(arguments):
        if argument == "--config" and index + 1 < len(arguments):
            return arguments[index + 1]
        if argument.startswith("--config="):
            return argument.split("=", 1)[1]
    return None


def read_yaml(path: Path, config_class: type[Any]) -> dict[str, Any]:
    """The file's options, checked against the dataclass."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            expected="a YAML file with options",
            got=f"{path}: {error}",
            consequence="the run would use other options than you wrote",
            remedy="correct the file or its name",
        ) from error
    names = {field.name for field in fields(config_class)}
    if not isinstance(content, dict) or not content.keys() <= names:
        unknown = sorted(content.keys() - names) if isinstance(content, dict) else [type(content).__name__]
        near = difflib.get_close_matches(str(unknown[0]), names, n=1)
        raise InputError(
            expected=f"options of this command in {path}",
            got=f"unknown {', '.join(map(repr, unknown))}",
            consequence="it would be ignored",
            remedy=f"write {near[0]!r} instead" if near else f"use some of {', '.join(sorted(names))}",
        )
    return content


def _set_defaults(parser: HfArgumentParser, values: dict[str, Any]) -> None:
    """Values of the file become defaults; what the file gives is no longer required on the command line."""
    parser.set_defaults(**values)
    for action in parser._actions:  # argparse has no public list of a parser's options
        if action.dest in values:
            action.required = False
