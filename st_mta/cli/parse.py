"""One typed dataclass behind flags, a YAML file and ``--help``."""

from __future__ import annotations

import argparse
import difflib
import re
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import yaml

from st_mta.cli.values import aliases_of, options_of, typed_options
from st_mta.errors import InputError

Config = TypeVar("Config")
UNGROUPED = "Options"
METAVARS = {int: "N", float: "X"}


def parse(
    config_class: type[Config],
    arguments: list[str],
    command: str,
    description: str,
    example: str = "",
    first: str = "",
) -> Config:
    """Reads flags and, with ``--config FILE``, a YAML file whose keys are the flags' names (a flag wins).

    Args:
        config_class: The dataclass to fill, with [`st_mta.options.option`] or ``field(metadata={"help": ...})``.
        arguments: The command line after the verb.
        command: The verb.
        description: Printed by ``--help``.
        example: A command line, printed below the options.
        first: The option that may also stand without its flag.

    Raises:
        InputError: If the file is missing or no YAML mapping, an option is unknown in it, or a value does not fit.
        SystemExit: With code 2 on an unknown flag or without a required option, 0 after ``--help``.
    """
    parser = _parser(config_class, command, description, example, "--help-all" in arguments)
    namespace, left = parser.parse_known_args(arguments)
    given = vars(namespace)
    files = given.pop("config", [])
    if first and first not in given and len(left) == 1 and not left[0].startswith("-"):
        given[first] = left.pop()
    if left:
        parser.error(_unknown_flag(left[0], parser))
    options = read_yaml(Path(_only(files)), config_class) if files else {}
    options |= typed_options(config_class, {_flag(name): given[name] for name in given}, "the command line")
    missing = [field.name for field in options_of(config_class) if _required(field) and field.name not in options]
    if missing:
        parser.error(f"missing {', '.join(map(_flag, missing))}, as a flag or in the file of --config")
    return config_class(**options)


def _only(files: list[str]) -> str:
    if len(files) == 1:
        return files[0]
    raise InputError(expected="one --config file", got=" and ".join(files), remedy="write all options into one file")


def read_yaml(path: Path, config_class: type[Any]) -> dict[str, Any]:
    """The file's options, typed by the dataclass.

    Raises:
        InputError: If the file cannot be read, or an option in it does not fit.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8-sig"), _Loader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise InputError(
            expected="a YAML file with options", got=f"{path}: {error}", remedy="correct the file or its name"
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InputError(
            expected=f"a mapping of options in {path}",
            got=f"a {type(content).__name__}",
            remedy='write "name: value" lines',
        )
    return typed_options(config_class, content, str(path))


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 1e-4 is a number, as in YAML 1.2, and a key stands once."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for place, key in enumerate(keys):
            if any(key.value == earlier.value for earlier in keys[:place]):
                problem = f"the key {key.value!r} stands twice"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
        return node


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Every flag with its dashes only, and what it takes once."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        flags = ", ".join(flag for flag in action.option_strings if "_" not in flag)
        takes = "" if action.nargs in (0, "?") else str(action.metavar)
        return f"{flags} {takes}{' ...' if action.nargs == '+' else ''}".rstrip()


def _parser(
    config_class: type[Any], command: str, description: str, example: str, everything: bool
) -> argparse.ArgumentParser:
    """Flags without defaults and types, which ``typed_options`` and the dataclass know."""
    options, hints = options_of(config_class), get_type_hints(config_class)
    hidden = 0 if everything else sum(not _shown(field) for field in options)
    closing = [f"Example:\n  {example}"] if example else []
    closing += [f"More ({hidden}): st-mta {command} --help-all"] if hidden else []
    needed = [f"{_flag(field.name)} {_takes(field, hints[field.name])}" for field in options if _required(field)]
    parser = _Parser(
        prog=f"st-mta {command}",
        usage=" ".join(["%(prog)s", *needed, "[options]"]),
        description=description,
        epilog="\n\n".join(closing),
        formatter_class=_Formatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        add_help=False,
    )
    groups: dict[str, Any] = {}
    for field in options:
        title = field.metadata.get("group", UNGROUPED)
        group = groups.get(title) or groups.setdefault(title, parser.add_argument_group(title))
        _add(group, field, hints[field.name], everything or _shown(field))
    group = groups.get(UNGROUPED) or parser.add_argument_group(UNGROUPED)
    group.add_argument("--config", metavar="FILE", action="append", help="YAML file with any of these options.")
    group.add_argument("-h", "--help", action="help", help="Show this page.")
    group.add_argument("--help-all", action="help", help="Show every option." if hidden else argparse.SUPPRESS)
    return parser


def _add(group: Any, field: Field[Any], hint: Any, shown: bool) -> None:
    """The field's flags; those of a truth need no value, and one that is on has a flag to turn it off."""
    flags = [f"--{spelt}" for name in (field.name, *aliases_of(field)) for spelt in _spellings(name)]
    known: dict[str, Any] = {"dest": field.name, "help": _help(field) if shown else argparse.SUPPRESS}
    if bool in (hint, *get_args(hint)):
        group.add_argument(*flags, nargs="?", const="true", **known)
        if field.default is True:
            off = [f"--{spelt}" for spelt in _spellings(f"no_{field.name}")]
            group.add_argument(*off, action="store_const", const="false", **known | {"help": argparse.SUPPRESS})
        return
    many = list in (get_origin(hint), *map(get_origin, get_args(hint)))
    group.add_argument(*flags, nargs="+" if many else None, metavar=_metavar(field, hint), **known)


def _spellings(name: str) -> list[str]:
    return list(dict.fromkeys([name.replace("_", "-"), name]))


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _takes(field: Field[Any], hint: Any) -> str:
    return _metavar(field, hint) + (" ..." if get_origin(hint) is list else "")


def _metavar(field: Field[Any], hint: Any) -> str:
    """What a flag takes: its choices, N or X for numbers, JSON, or the last word of its name."""
    if choices := field.metadata.get("choices"):
        return "{" + ",".join(str(choice) for choice in choices if choice is not None) + "}"
    if field.metadata.get("section") is not None:
        return "JSON"
    inner = {part for one in (hint, *get_args(hint)) for part in (one, *get_args(one))}
    return next((METAVARS[kind] for kind in METAVARS if kind in inner), field.name.rsplit("_", 1)[-1].upper())


def _shown(field: Field[Any]) -> bool:
    """Options of no group are always shown, the others where they are basic or required."""
    return bool(field.metadata.get("basic", "help" in field.metadata)) or _required(field)


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _help(field: Field[Any]) -> str:
    """The field's sentence and its default."""
    text = str(field.metadata.get("help", ""))
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    if default is not MISSING and (default or isinstance(default, (int, float)) and default is not False):
        words = " ".join(map(str, default)) if isinstance(default, (list, tuple)) else f"{default}"
        text += f" (default: {words})"
    return text.strip().replace("%", "%%")


def _unknown_flag(flag: str, parser: argparse.ArgumentParser) -> str:
    flags = sorted({option for action in parser._actions for option in action.option_strings if "_" not in option})
    near = difflib.get_close_matches(flag.split("=")[0], flags, n=1)
    return f"unknown {flag!r}" + (f"; did you mean {near[0]}?" if near else "; --help-all lists every option")
