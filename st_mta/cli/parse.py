"""One typed dataclass behind flags, a YAML file and ``--help``."""

from __future__ import annotations

import argparse
import difflib
import logging
import re
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import yaml

from st_mta.cli.values import aliases_of, choices_of, options_of, typed_options
from st_mta.errors import InputError
from st_mta.options import UNGROUPED
from st_mta.visible import visible

logger = logging.getLogger(__name__)
Config = TypeVar("Config")
CONFIG = (
    "YAML file with any of these options. Read one of others first: what it names as module:function runs as code."
)
METAVARS = {dict: "JSON", int: "N", float: "X"}


def parse(
    config_class: type[Config], arguments: list[str], command: str, description: str, example: str = ""
) -> Config:
    """Reads flags and, with ``--config FILE``, a YAML file whose keys are the flags' names (a flag wins).

    Args:
        config_class: The dataclass to fill; its fields are written with [`st_mta.options.option`].
        arguments: The command line after the verb.
        command: The verb.
        description: Printed by ``--help``.
        example: Command lines, printed below the options.

    Raises:
        InputError: If the file is missing or no YAML mapping, an option is unknown in it, or a value does not fit.
        SystemExit: With code 2 on an unknown flag or without a required option, 0 after ``--help``.
    """
    options = options_of(config_class)
    parser = _parser(config_class, command, description, example, "--help-all" in arguments)
    namespace, left = parser.parse_known_args([_with_dashes(argument) for argument in arguments])
    given = {name: _once(name, values) for name, values in vars(namespace).items()}
    file = given.pop("config", None)
    bare = [field.name for field in options if field.metadata["bare"] and field.name not in given]
    if bare and len(left) == 1 and not left[0].startswith("-"):
        given[bare[0]] = left.pop()
    if left:
        parser.error(_unknown_flag(left[0], parser))
    found = {} if file is None else read_yaml(Path(file).expanduser(), config_class)
    found |= typed_options(config_class, {_flag(name): given[name] for name in given}, "the command line")
    # What was not given may have other sources, such as a recipe.
    found = getattr(config_class, "completed", dict)(found)
    missing = [_flag(field.name) for field in options if _required(field) and field.name not in found]
    if missing:
        parser.error(f"missing {', '.join(missing)}, as a flag or in the file of --config")
    if any(field.name == "config_file" for field in fields(config_class)):  # type: ignore[arg-type]
        found["config_file"] = file
    return config_class(**found)


def _once(name: str, values: list[Any]) -> Any:
    """What follows a flag. Of values given twice the last holds, as scripts expect; of lists none may be lost."""
    if len(values) == 1 or (name != "config" and all(value == values[0] for value in values)):
        return values[0]
    given = " and ".join(" ".join(value) if isinstance(value, list) else str(value) for value in values)
    if name == "config" or isinstance(values[0], list):
        raise InputError(
            expected=f"{_flag(name)} once", got=f"it {len(values)} times ({given})", remedy="write all behind one"
        )
    logger.warning("%s stands %d times (%s): the last one holds.", _flag(name), len(values), given)
    return values[-1]


def _with_dashes(argument: str) -> str:
    """Flags may also be spelt with underscores, as the fields are."""
    return re.sub(r"^--[^=]+", lambda flag: flag[0].replace("_", "-"), argument)


def read_yaml(path: Path, config_class: type[Any]) -> dict[str, Any]:
    """The file's options, typed by the dataclass.

    Raises:
        InputError: If the file cannot be read, or an option in it does not fit.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8-sig"), _Loader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise InputError(
            expected="a YAML file with options for --config",
            got=f"{path}: {error}",
            remedy="keep one of its documents (st-mta recipes NAME > FILE writes a recipe as such a file)"
            if "a single document" in str(error)
            else "correct the file or its name",
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
        self.exit(2, visible(f"{self.prog}: {' '.join(message.split())}\n"))


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Every flag and its aliases, and what they take once."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        return f"{', '.join(action.option_strings)} {action.metavar or ''}".rstrip()


def _parser(
    config_class: type[Any], command: str, description: str, example: str, everything: bool
) -> argparse.ArgumentParser:
    """Flags without defaults and types, which ``typed_options`` and the dataclass know."""
    hints = get_type_hints(config_class)
    options = sorted(
        options_of(config_class), key=lambda field: (field.metadata["group"] == UNGROUPED, not _required(field))
    )
    hidden = 0 if everything else sum(not _shown(field) for field in options)
    closing = [f"Example:\n{example}"] if example else []
    closing += [f"More ({hidden}): st-mta {command} --help-all"] if hidden else []
    needed = [f"{_flag(field.name)} {_metavar(field, hints[field.name])}" for field in options if _required(field)]
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
    titles = dict.fromkeys([*(field.metadata["group"] for field in options), UNGROUPED])
    groups = {title: parser.add_argument_group(title) for title in titles}
    for field in options:
        _add(groups[field.metadata["group"]], field, hints[field.name], everything or _shown(field))
    group = groups[UNGROUPED]
    group.add_argument("--config", metavar="FILE", action="append", help=CONFIG)
    group.add_argument("-h", "--help", action="help", help="Show this page.")
    group.add_argument("--help-all", action="help", help="Show every option." if hidden else argparse.SUPPRESS)
    return parser


def _add(group: Any, field: Field[Any], hint: Any, shown: bool) -> None:
    """The field's flags; those of a truth need no value, and one that is on has a flag to turn it off."""
    known: dict[str, Any] = {"dest": field.name, "help": _help(field) if shown else argparse.SUPPRESS}
    known["metavar"] = _metavar(field, hint)
    flags = map(_flag, (field.name, *aliases_of(field)))
    if bool in (hint, *get_args(hint)):
        group.add_argument(*flags, nargs="?", const="true", action="append", **known)
        if field.default is True:
            off = {"action": "append_const", "const": "false", "help": argparse.SUPPRESS}
            group.add_argument(_flag(f"no_{field.name}"), dest=field.name, **off)
    else:
        group.add_argument(*flags, nargs="+" if _takes_many(hint) else None, action="append", **known)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _takes_many(hint: Any) -> bool:
    return any(get_origin(one) is list for one in (hint, *get_args(hint)))


def _metavar(field: Field[Any], hint: Any) -> str:
    """What a flag takes: its choices, N or X for numbers, JSON, or the last word of its name."""
    kinds = {part for one in (hint, *get_args(hint)) for part in (one, *get_args(one))}
    if choices := choices_of(field):
        word = "{" + ",".join(map(str, choices)) + "}"
    elif field.metadata["section"] is not None:
        word = "JSON"
    else:
        word = next((METAVARS[kind] for kind in METAVARS if kind in kinds), field.name.rsplit("_", 1)[-1].upper())
    return "" if bool in kinds else word + " ..." * _takes_many(hint)


def _shown(field: Field[Any]) -> bool:
    return field.metadata["basic"] or field.metadata["group"] == UNGROUPED or _required(field)


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _help(field: Field[Any]) -> str:
    """The field's sentence and its default."""
    text = field.metadata["help"]
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    if default is not False and default not in (MISSING, None, "", []):
        text += f" (default: {' '.join(map(str, default)) if isinstance(default, list) else default})"
    return str(text).replace("%", "%%")


def _unknown_flag(flag: str, parser: argparse.ArgumentParser) -> str:
    flags = sorted({option for action in parser._actions for option in action.option_strings})
    near = difflib.get_close_matches(flag.split("=")[0], flags, n=1)
    return f"unknown {flag!r}" + (f"; did you mean {near[0]}?" if near else "; --help-all lists every option")
