"""What the README shows is what the commands printed and the files say; its code runs as far as it can offline."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from benchmarks.tables import filled

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_shows_what_the_files_hold():
    assert filled(README) == README, "run python -m benchmarks.tables"


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.S))
def test_names_in_the_code_exist(code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, name.name) for name in node.names)


def test_commands_and_options_in_the_readme_exist():
    from dataclasses import fields

    from st_mta.cli.main import VERBS
    from st_mta.recipes.distill import DistillConfig

    assert set(re.findall(r"st-mta ([a-z]+)", README)) <= set(VERBS)
    block = re.search(r"    st-mta distill.*?\n\n", README, re.S).group()
    known = {field.name for field in fields(DistillConfig)}
    assert {option.replace("-", "_") for option in re.findall(r"--([a-z-]+)", block)} <= known


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)]+)\)", README))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_every_public_name_is_there():
    import st_mta

    assert all(getattr(st_mta, name) is not None for name in st_mta.__all__)
