"""``--help``: the basic options in their groups, with defaults and an example; ``--help-all`` shows the rest."""

from __future__ import annotations

import importlib
import shlex
from dataclasses import dataclass

import pytest

from st_mta.cli.main import VERBS, main
from st_mta.cli.parse import parse
from st_mta.options import option


@dataclass
class Config:
    model: list[str] = option(help="Models to measure.", group="What to measure", basic=True)
    split: str = option("test", help="Whose queries.", group="What to measure", basic=True, choices=("dev", "test"))
    depth: int = option(100, help="Passages per query.", group="Search", aliases=("--eval-depth",))
    skip: int = option(0, help="Skipped, 50% at most.", group="Search", basic=True)
    store: str | None = option(None, help="Folder of scores.")
    fresh: bool = option(False, help="Forget the store.")


def shown(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_:
        parse(Config, list(arguments), "try", "Tries models.", example="  st-mta try --model bm25")
    assert exit_.value.code == 0
    return capsys.readouterr().out


def test_help_shows_the_basic_options_in_their_groups(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert (
        shown(capsys, "--help")
        == """\
usage: st-mta try --model MODEL ... [options]

Tries models.

What to measure:
  --model MODEL ...   Models to measure.
  --split {dev,test}  Whose queries. (default: test)

Search:
  --skip N            Skipped, 50% at most. (default: 0)

Options:
  --store STORE       Folder of scores.
  --fresh             Forget the store.
  --config FILE       YAML file with any of these options. Read one of others first: what it names
                      as module:function runs as code.
  -h, --help          Show this page.
  --help-all          Show every option.

Example:
  st-mta try --model bm25

More (1): st-mta try --help-all
"""
    )


def test_help_all_shows_every_option(capsys):
    text = shown(capsys, "--help-all")
    assert "--depth, --eval-depth N" in text and "Passages per query. (default: 100)" in text
    assert "More (" not in text


def test_a_hidden_option_works_all_the_same():
    assert parse(Config, ["--model", "a", "--eval-depth", "7"], "try", "").depth == 7


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("flag", ["--help", "--help-all"])
def test_every_verb_has_both(verb, flag, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([verb, flag])
    assert exit_.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: st-mta {verb} ") and "--config FILE" in printed
    assert f"Example:\n  st-mta {verb} " in printed


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_of_every_verb_is_a_command_line_that_it_takes(verb):
    module = importlib.import_module(f"st_mta.cli.{verb.replace('-', '_')}")
    words = shlex.split(module.__doc__.partition("Example:\n")[2].replace("\\\n", ""))
    assert words[:2] == ["st-mta", verb]
    parse(module.Config, words[2:], verb, "")


def test_what_is_required_comes_first(capsys):
    with pytest.raises(SystemExit):
        main(["distill", "--help"])
    printed = capsys.readouterr().out
    assert printed.index("Inputs and output:") < printed.index("Iterations:") < printed.index("\nOptions:")
    assert "--num-iterations N" in printed and "--patience" not in printed


def test_the_help_says_in_what_form_a_language_model_is_asked(capsys):
    with pytest.raises(SystemExit):
        main(["distill", "--help"])
    printed = " ".join(capsys.readouterr().out.split()).replace("- ", "-")
    assert "in a form named behind it (lm-reranker:MODEL#FORM, one of qwen3, bge-gemma, mxbai, monot5)" in printed
    assert "a module:function" in printed
