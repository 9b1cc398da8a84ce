"""What the package imports is what pyproject.toml declares."""

from __future__ import annotations

import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.test_layers import FILES, ROOT, imported_modules

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
PROJECT = tomllib.loads(Path(ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IN_AN_EXTRA = {"faiss"}
"""Modules that are imported where they are used, with an error that names the extra."""


def names(requirements: list[str]) -> set[str]:
    """Normalised names of distributions."""
    found = [re.match(r"[\w.-]+", requirement) for requirement in requirements]
    return {normalised(match[0]) for match in found if match}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_import_is_declared():
    declared, extra = names(PROJECT["dependencies"]), names(PROJECT["optional-dependencies"]["faiss"])
    modules = {module.split(".")[0] for path in FILES for module in imported_modules(path)}
    foreign = modules - sys.stdlib_module_names - {"st_mta"}
    assert {"torch", "jinja2", "typing_extensions"} <= foreign
    distributions = packages_distributions()
    for module in foreign:
        providers = {normalised(name) for name in distributions.get(module, [module])}
        assert providers & (extra if module in IN_AN_EXTRA else declared), module


def test_every_bound_holds_what_constraints_pin():
    """Also that nothing declared lacks a pinned version for `make`."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normalised(line.split("==")[0]): line.split("==")[1] for line in lines if "==" in line}
    for requirement in PROJECT["dependencies"]:
        (name,) = names([requirement])
        lowest = requirement.split(">=")[1].split(",")[0]
        assert tuple(map(int, lowest.split("."))) <= tuple(map(int, pinned[name].split(".")[:4])), requirement
