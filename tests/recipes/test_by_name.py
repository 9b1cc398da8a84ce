"""A recipe's options hold where nothing else is said, its gaps are named, and a run says which one it came from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from st_mta.cli import distill as command
from st_mta.cli.main import main
from st_mta.cli.parse import parse, read_yaml
from st_mta.errors import InputError
from st_mta.recipes import by_name, load_recipe, recipe_names
from st_mta.recipes.distill import DistillConfig
from st_mta.training.arguments import MultiAssistantTrainingArguments
from tests.recipes.test_ladder import write_collection
from tests.tiny import saved, tiny_cross_encoder, tiny_sentence_transformer

GIVEN = {"collection": "c", "teacher": "t", "student": "s", "output_dir": "o", "assistants": ["a", "b"]}
FILE = """\
summary: Does something.
paper: Somebody
differs: nothing
needs: {teacher: a cross-encoder}
---
num_iterations: 7  # as there
alpha: 0.25
student: minilm
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with one recipe."""
    (tmp_path / "of-mine.yaml").write_text(FILE, encoding="utf-8")
    monkeypatch.setattr(by_name, "FOLDER", tmp_path)
    return tmp_path


def parsed(*arguments):
    words = ["--collection", "c", "--output-dir", "o", *arguments]
    return parse(command.Config, words, "distill", "")


def test_options_of_a_recipe_hold_unless_others_are_given(own):
    config = parsed("--recipe", "of-mine", "--teacher", "t", "--alpha", "0.5")
    assert (config.num_iterations, config.alpha, config.student, config.recipe) == (7, 0.5, "minilm", "of-mine")


def test_a_flag_wins_over_the_file_and_the_file_over_the_recipe(own, tmp_path):
    file = tmp_path / "mine.yml"
    file.write_text("recipe: of_mine\nnum_iterations: 2\nalpha: 0.75\n")
    config = parsed("--config", str(file), "--alpha", "1", "--teacher", "t")
    assert (config.num_iterations, config.alpha, config.recipe) == (2, 1.0, "of-mine")


def test_python_reads_recipes_as_the_command_line_does(own):
    config = DistillConfig(recipe="Of_Mine", collection="c", teacher="t", output_dir="o", alpha=0.5)
    assert (config.num_iterations, config.alpha, config.student, config.recipe) == (7, 0.5, "minilm", "of-mine")
    assert replace(config, num_iterations=1).num_iterations == 1
    assert DistillConfig(**GIVEN).num_iterations == 3 and DistillConfig(**GIVEN).recipe is None


def test_what_a_recipe_leaves_open_is_named(own, capsys):
    line = ["distill", "--recipe", "of-mine", "--collection", "c", "--output-dir", "o"]
    assert main(line) == 2
    said = capsys.readouterr().err
    assert "teacher (a cross-encoder)" in said and "--teacher" in said and said.count("\n") == 1
    with pytest.raises(SystemExit):
        parse(command.Config, ["--recipe", "of-mine", "--teacher", "t"], "distill", "")
    assert "missing --collection, --output-dir" in capsys.readouterr().err


def test_an_unknown_recipe(capsys):
    with pytest.raises(InputError, match="did you mean 'mta4dpr'"):
        load_recipe("mta4drp")
    with pytest.raises(InputError, match="st-mta recipes says"):
        load_recipe("../../etc/passwd")
    assert main(["recipes", "mta4drp"]) == 2 and "mta4dpr" in capsys.readouterr().err


def test_a_recipe_is_shown_as_a_file_of_options(own, capsys, tmp_path):
    assert main(["recipes", "of-mine"]) == 0
    shown = capsys.readouterr().out
    assert "# Paper: Somebody" in shown and "# To name: teacher: a cross-encoder" in shown
    assert "num_iterations: 7  # as there" in shown
    (tmp_path / "shown.yml").write_text(shown)
    assert read_yaml(tmp_path / "shown.yml", DistillConfig) == load_recipe("of-mine").options


def test_all_are_listed(capsys):
    assert main(["recipes"]) == 0
    listed = " ".join(capsys.readouterr().out.split())
    for name in recipe_names():
        recipe = load_recipe(name)
        assert all(" ".join(text.split()) in listed for text in (name, recipe.summary, recipe.paper, recipe.differs))


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_makes_a_configuration_and_says_all_of_its_head(name):
    recipe = load_recipe(name)
    needed = {option: {"assistants": ["a"], "exits": [1]}.get(option, "a") for option in recipe.needs}
    config = DistillConfig(recipe=name, **{**GIVEN, **needed})
    assert all(getattr(config, option) == value for option, value in recipe.options.items() if option not in GIVEN)
    assert recipe.summary and recipe.paper and recipe.differs and yaml.safe_load(recipe.as_yaml()) == recipe.options


@pytest.mark.parametrize("name", recipe_names())
def test_a_trainer_takes_the_arguments_of_every_recipe(name, tmp_path):
    recipe = load_recipe(name)
    values = {"query_generator": "file.jsonl", "exits": [1]}
    needed = {need: values[need] for need in recipe.needs if need in values}
    arguments = MultiAssistantTrainingArguments(str(tmp_path), use_cpu=True, **recipe.arguments, **needed)
    assert arguments.num_iterations == recipe.options["num_iterations"]


LINE = ["--collection", "c", "--teacher", "t", "--student", "s", "--assistants", "a", "--output-dir", "o"]


def test_a_refusal_says_which_options_came_from_the_recipe(capsys):
    assert main(["distill", "--recipe", "margin-mse", "--objective", "kl", *LINE]) == 2
    said = capsys.readouterr().err
    assert (
        said.endswith("(loss is set by recipe margin-mse: st-mta recipes margin-mse).\n") and said.count("(loss") == 1
    )
    with pytest.raises(InputError, match="set by recipe margin-mse"):
        DistillConfig(recipe="margin-mse", objective="kl", **GIVEN)


def test_a_refusal_does_not_blame_a_recipe_for_what_the_user_gave(capsys):
    assert main(["distill", "--recipe", "margin-mse", "--loss", "bce", "--objective", "kl", *LINE]) == 2
    assert "set by recipe" not in capsys.readouterr().err
    assert main(["distill", "--loss", "margin-mse", "--objective", "kl", *LINE]) == 2
    assert "set by recipe" not in capsys.readouterr().err


def a_run(recipe, student, tmp_path):
    """The line of a run on models and a collection that are there."""
    collection = write_collection(tmp_path / "data")
    saved(tiny_cross_encoder(1), tmp_path / "cross-encoder")
    saved(tiny_sentence_transformer(1), tmp_path / "bi-encoder")
    line = ["distill", "--recipe", recipe, "--collection", collection, "--teacher", str(tmp_path / "bi-encoder")]
    line += ["--student", str(tmp_path / student), "--output-dir", str(tmp_path / "out"), "--assistants", "bm25"]
    return [*line, "--device", "cpu", "--store", str(tmp_path / "store")]


@pytest.mark.parametrize("more", [[], ["--plan"]])
def test_so_it_is_while_a_run_is_made(more, tmp_path, capsys):
    assert main([*a_run("leaf", "cross-encoder", tmp_path), *more]) == 2
    said = capsys.readouterr().err
    assert "no regression_weight" in said and "regression_weight is set by recipe leaf: st-mta recipes leaf" in said


@pytest.mark.parametrize("recipe", ["cross-encoder-student", "rank-distillm", "simplified-tinybert"])
def test_a_recipe_for_re_rankers_refuses_a_bi_encoder(recipe, tmp_path, capsys):
    assert main([*a_run(recipe, "bi-encoder", tmp_path), "--plan"]) == 2
    said = capsys.readouterr().err
    assert f"a cross-encoder as student for recipe {recipe}" in said
    assert f"cross-encoder:{tmp_path / 'bi-encoder'} for one with a new head" in said


@pytest.mark.parametrize(
    ("recipe", "names"),
    [
        ("rocketqav2", ["teacher_learns", "teacher_learning_rate"]),
        ("listwise-distillation", ["filter_false_negatives", "filter_margins"]),
        ("ranknet", ["objective"]),
    ],
)
def test_none_turns_off_what_a_recipe_turns_on(recipe, names):
    words = [word for name in names for word in (f"--{name}", "none")]
    words += ["--query-generator", "g"] * ("query_generator" in load_recipe(recipe).needs)
    config = parse(command.Config, ["--recipe", recipe, *LINE, *words], "distill", "")
    assert all(load_recipe(recipe).options[name] is not None and getattr(config, name) is None for name in names)
