"""One dataclass behind flags and a YAML file: values are typed by the fields they go to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

from st_mta.cli.main import main
from st_mta.cli.parse import parse, read_yaml
from st_mta.errors import InputError
from st_mta.options import option


@dataclass
class Base:
    seed: int = option(42, help="Seed.")
    alpha: float | None = option(None, help="Weight.", group="Loss", basic=True)


@dataclass(kw_only=True)
class Config(Base):
    output_dir: str = option(help="Folder.", bare=True)
    assistants: list[str] = option(factory=list, help="Names.", aliases=["--helpers"])
    student_layers: list[int] = option(factory=list, help="Layers.")
    margins: list[float] | None = option(None, help="Margins.")
    combinations: str = option("all", help="Which.", choices=("all", "pairs", "none"))
    num_train_epochs: float = option(1.0, help="Passes.", aliases=("--epochs",))
    hard_queries: bool = option(True, help="Harder.")
    overwrite: bool = option(False, help="Anew.")
    training: dict[str, Any] | None = option(
        None, help="Others.", section=SentenceTransformerTrainingArguments, group="Training"
    )


def parsed(*arguments: str, text: str | None = None, path: Path | None = None, **options: Any) -> Config:
    given = ["--output-dir", "out", *arguments]
    if text is not None:
        assert path is not None
        (path / "recipe.yaml").write_text(text, encoding="utf-8")
        given += ["--config", str(path / "recipe.yaml")]
    return parse(Config, given, "try", "Tries.", **options)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("alpha: 1e-4", "alpha", 1e-4),
        ("alpha: 1", "alpha", 1.0),
        ("alpha: null", "alpha", None),
        ("assistants: bm25", "assistants", ["bm25"]),
        ("assistants:", "assistants", []),
        ("helpers: [bm25, minilm]", "assistants", ["bm25", "minilm"]),
        ("student_layers: 0", "student_layers", [0]),
        ("student-layers: [0, 2]", "student_layers", [0, 2]),
        ("margins: [1e-1, 2]", "margins", [0.1, 2.0]),
        ("margins: 5", "margins", [5.0]),
        ("epochs: 3", "num_train_epochs", 3.0),
        ("overwrite: yes", "overwrite", True),
        ("hard_queries: false", "hard_queries", False),
        ("combinations: none", "combinations", "none"),
        ("training:\n  learning_rate: 1e-4\n  max_steps: 3", "training", {"learning_rate": 1e-4, "max_steps": 3}),
        ("training:\n  report_to: [a, b]\n  seed: '7'", "training", {"report_to": ["a", "b"], "seed": 7}),
        ("training:\n  lr_scheduler_kwargs: {min_lr: 1e-5}", "training", {"lr_scheduler_kwargs": {"min_lr": 1e-5}}),
        ("training: '{\"weight_decay\": 1}'", "training", {"weight_decay": 1.0}),
        ("\ufeffseed: 3", "seed", 3),
        ("", "seed", 42),
    ],
)
def test_values_of_the_file_are_typed_by_their_fields(tmp_path, text, name, value):
    found = getattr(parsed(text=text, path=tmp_path), name)
    assert found == value and type(found) is type(value)
    for inner, expected in zip(found, value) if isinstance(value, list) else ():
        assert type(inner) is type(expected)
    if isinstance(value, dict):
        assert {key: type(inner) for key, inner in found.items()} == {k: type(inner) for k, inner in value.items()}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("seed: 4.2", "seed"),
        ("seed: true", "seed"),
        ("seed: null", "seed"),
        ("seed: [1]", "seed"),
        ("alpha: yes", "alpha"),
        ("alpha: .nan", "alpha"),
        ("alpha: 1e999", "alpha"),
        ("alpha: half", "alpha"),
        ("output_dir: 5", "output_dir"),
        ("output_dir: no", "output_dir"),
        ("output_dir: [a]", "output_dir"),
        ("assistants: [bm25, 5]", "assistants"),
        ("assistants: {a: b}", "assistants"),
        ("student_layers: [a]", "student_layers"),
        ("student_layers: [1.5]", "student_layers"),
        ("overwrite: 1", "overwrite"),
        ("combinations: some", "combinations"),
        ("combinations: pair", "'pairs'"),
        ("seed: 1\nseed: 2", "'seed' stands twice"),
        ("epochs: 1\nnum_train_epochs: 2", "num_train_epochs twice"),
        ("training: {seed: 1, seed: 2}", "'seed' stands twice"),
        ("training: [1]", "training"),
        ("training: text", "as JSON"),
        ("training: {learning_rat: 1}", "'learning_rate'"),
        ("training: {max_steps: 1.5}", "max_steps"),
        ("training: {learning_rate: fast}", "learning_rate"),
        ("1: x", "unknown '1'"),
        ("num_epoch: 3", "'num_train_epochs'"),
        ("config: other.yaml", "unknown 'config'"),
        ("- a", "list"),
        ("a: [", "recipe.yaml"),
        ("d: 2024-13-45", "recipe.yaml"),
        ("&a [*a]", "recipe.yaml"),
        ("a: !!python/object:os.system x", "recipe.yaml"),
    ],
)
def test_values_that_do_not_fit_are_refused_with_file_and_key(tmp_path, text, key):
    with pytest.raises(InputError) as error:
        parsed(text=text, path=tmp_path)
    assert key in str(error.value) and "recipe.yaml" in str(error.value)


@pytest.mark.parametrize("wrong", [["--seed", "4.2"], ["--alpha", "yes"], ["--student-layers", "0", "x"],
                                   ["--combinations", "pair"], ["--alpha", "nan"], ["--overwrite", "maybe"],
                                   ["--training", "{warmup"], ["--training", '{"warmup_step": 3}']])  # fmt: skip
def test_flags_that_do_not_fit_are_refused_by_name(wrong):
    with pytest.raises(InputError, match=wrong[0].lstrip("-")):
        parsed(*wrong)


def test_a_flag_wins_and_has_aliases_and_two_spellings(tmp_path):
    config = parsed("--helpers", "a", "b", "--epochs=2", "--no-hard-queries", "--student_layers", "1", "--overwrite",
                    text="seed: 3\nepochs: 5\nassistants: c", path=tmp_path)  # fmt: skip
    assert config == Config(
        output_dir="out", seed=3, assistants=["a", "b"], num_train_epochs=2.0, hard_queries=False, student_layers=[1],
        overwrite=True,
    )  # fmt: skip
    assert parsed("--hard-queries", "false", "--overwrite", "false").hard_queries is False


def test_the_home_is_expanded_where_a_path_begins(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    config = parsed("--assistants", "~/m", "late-interaction:~/m", "a~/b", "~other",
                    text="output_dir: ~/out", path=tmp_path)  # fmt: skip
    assert config.assistants == ["/somewhere/m", "late-interaction:/somewhere/m", "a~/b", "~other"]
    assert read_yaml(tmp_path / "recipe.yaml", Config) == {"output_dir": "/somewhere/out"}


@pytest.mark.parametrize("files", [["a.yaml", "a.yaml"], ["missing.yaml"], ["."]])
def test_config_files_that_are_missing_or_too_many(tmp_path, monkeypatch, files):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text("seed: 3")
    with pytest.raises(InputError, match=r"config|YAML file"):
        parsed(*(part for file in files for part in ("--config", file)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output-dir", "x", "--seeds", "3"], "did you mean --seed?"),
        (["--seed", "3"], "missing --output-dir"),
        (["--output-dir"], "--output-dir"),
        (["--output-dir", "x", "--config"], "--config"),
        (["out", "left"], "'out'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(capsys, arguments, message):
    with pytest.raises(SystemExit) as exit_:
        parse(Config, arguments, "try", "Tries.")
    assert exit_.value.code == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1 and printed.startswith("st-mta try: ")


def test_one_option_may_stand_without_its_flag():
    for arguments in (["here"], ["--seed", "3", "here"], ["here", "--helpers", "a", "b"]):
        assert parse(Config, arguments, "try", "").output_dir == "here"


def test_through_the_command_a_bad_value_is_one_message(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("num_candidates: many")
    assert main(["mine", "--collection", "x", "--retrievers", "bm25", "--output", "m.parquet", "--config",
                 str(tmp_path / "bad.yaml")]) == 2  # fmt: skip
    printed = capsys.readouterr().err
    assert "num_candidates in" in printed and printed.count("\n") == 1


@dataclass
class Nothing:
    word: str | None = option("a", help="A word.", choices=(None, "a", "b"))
    text: str | None = option("a", help="A text.")
    named: str | None = option("a", help="A text, or none.", none=True)
    share: float | None = option(1.0, help="A number.")
    several: list[int] | None = option(None, help="Numbers.")
    mapping: dict[str, Any] | None = option(None, help="A mapping.")


def test_none_is_nothing_unless_it_could_be_a_text(capsys):
    flags = ["word", "text", "named", "share", "several", "mapping"]
    found = parse(Nothing, [word for flag in flags for word in (f"--{flag}", "none")], "try", "")
    assert found == Nothing(word=None, text="none", named=None, share=None, several=None, mapping=None)
    with pytest.raises(InputError, match=r"one of none, a, b for --word.*write one of a, b, none"):
        parse(Nothing, ["--word", "x"], "try", "")
    with pytest.raises(InputError, match="a finite number or none for --share"):
        parse(Nothing, ["--share", "x"], "try", "")
    with pytest.raises(SystemExit):
        parse(Nothing, ["--help"], "try", "")
    assert "--word {none,a,b}" in capsys.readouterr().out


def test_a_file_of_two_documents_is_told_what_makes_one(tmp_path):
    with pytest.raises(InputError, match="st-mta recipes NAME > FILE"):
        parsed(text="summary: x\n---\nalpha: 1", path=tmp_path)
