"""Options are typed and checked when they are made, from Python as from the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from st_mta.checked import Checked
from st_mta.errors import InputError
from st_mta.options import option
from st_mta.ranges import NOT_NEGATIVE, POSITIVE, PROPER_SHARE, SEED, SHARE, Range, count_from
from st_mta.recipes.distill import DistillConfig
from st_mta.recipes.make_teacher import make_teacher
from st_mta.recipes.tune import TuningSettings
from st_mta.training.arguments import HOST_RANGES, MultiAssistantTrainingArguments


@dataclass(frozen=True, kw_only=True)
class Options(Checked):
    names: list[str] = option(help="Names.")
    layers: list[int] = option(factory=list, within=count_from(0), help="Layers.")
    seed: int = option(42, within=SEED, help="Seed.")
    rate: float | None = option(None, within=POSITIVE, help="Rate.")
    on: bool = option(False, help="Whether.")
    word: str = option("a", choices=("a", "b"), help="Which.")
    folder: str | None = option(None, help="Where.")


@pytest.mark.parametrize(
    ("within", "inside", "outside"),
    [
        (POSITIVE, [1e-300, 1, 1e300], [0, -1, float("nan"), float("inf"), True, "1", None]),
        (NOT_NEGATIVE, [0, 1.5], [-1e-9, float("nan"), float("inf"), False]),
        (SHARE, [0, 0.5, 1], [-0.1, 1.1, float("nan")]),
        (PROPER_SHARE, [0.5], [0, 1]),
        (SEED, [0, 2**32 - 1, np.int64(7)], [-1, 2**32, 2**70, True]),
        (count_from(2), [2, 2**31 - 1], [1, 2**31, 10**30, -(10**30)]),
        (count_from(1, besides=(-1,)), [-1, 1], [0, -2]),
        (Range(0, 1, without=(1,)), [0, 0.999], [1]),
    ],
)
def test_what_is_in_a_range(within, inside, outside):
    assert [number for number in inside if number not in within] == []
    assert [number for number in outside if number in within] == []


def test_ranges_in_words():
    assert str(POSITIVE) == "positive and finite" and str(SHARE) == "between 0 and 1"
    assert str(count_from(2)) == "at least 2 and below 2**31" and str(SEED) == "between 0 and 2**32 - 1"
    assert str(count_from(1, besides=(-1,))) == "-1 or at least 1 and below 2**31"
    assert str(PROPER_SHARE) == "above 0 and below 1" and str(NOT_NEGATIVE) == "at least 0 and finite"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", True), ("seed", 4.0), ("seed", "4"), ("seed", None), ("seed", np.float32(3)), ("seed", 2**32),
        ("rate", True), ("rate", float("nan")), ("rate", 0), ("rate", "1"), ("rate", [1.0]), ("rate", 10**400),
        ("layers", [0, -1]), ("layers", [True]), ("layers", [1.5]), ("layers", "1"), ("layers", {"a": 1}),
        ("names", []), ("names", [""]), ("names", ["a", " "]), ("names", [5]), ("names", None), ("names", [["a"]]),
        ("on", 1), ("on", "yes"), ("word", "c"), ("word", ""), ("folder", ""), ("folder", "\t"), ("folder", "a\0b"),
        ("folder", "\udcff"), ("folder", b"a"), ("folder", 5),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_by_its_name(name, value):
    with pytest.raises(InputError, match=name):
        Options(**{"names": ["a"], name: value})


def test_numbers_of_numpy_paths_and_single_values_become_plain():
    made = Options(
        names="bm25", layers=range(2), seed=np.int64(3), rate=np.float32(0.5), on=np.True_, folder=Path("a"), word="b"
    )
    assert made == Options(names=["bm25"], layers=[0, 1], seed=3, rate=0.5, on=True, folder="a", word="b")
    assert [type(value) for value in vars(made).values()] == [list, list, int, float, bool, str, str]


def test_the_home_is_written_out(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert Options(names=["late-interaction:~/m", "~x"], folder="~").folder == "/somewhere"
    assert Options(names=["late-interaction:~/m", "~x"]).names == ["late-interaction:/somewhere/m", "~x"]


@pytest.mark.parametrize("name", HOST_RANGES)
@pytest.mark.parametrize("value", [float("nan"), True, -7])
def test_arguments_of_the_host_are_checked_too(name, value):
    with pytest.raises(InputError, match=name):
        MultiAssistantTrainingArguments("out", **{name: value})


def test_what_the_host_allows_besides_is_allowed():
    made = MultiAssistantTrainingArguments(
        "out", max_steps=-1, eval_steps=None, save_total_limit=None, warmup_steps=0.1, optim="sgd",
        lr_scheduler_type="cosine_with_min_lr", lr_scheduler_kwargs={"min_lr": 1e-5}, data_seed=3,
    )  # fmt: skip
    assert made.max_steps == -1 and made.save_total_limit is None


def test_recipes_called_from_python(tmp_path):
    for wrong in ({"epochs": 0}, {"seed": -1}, {"range_min": 30}, {"device": "gpux"}, {"precision": "fp16"}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            TuningSettings(**wrong)
    with pytest.raises(InputError, match="num_candidates"):
        make_teacher("minilm", "pydocs", tmp_path / "out", num_candidates=1)
    given = {"collection": "pydocs", "teacher": "minilm", "student": "minilm"}
    config = DistillConfig(**given, output_dir=tmp_path, assistants="bm25", student_layers=0)
    assert (config.output_dir, config.assistants, config.student_layers) == (str(tmp_path), ["bm25"], [0])
    assert list(tmp_path.iterdir()) == []


def test_functions_are_resolved_and_never_called(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_rules.py").write_text(
        "def rule(scores, memberships, mask): raise SystemError\n"
        "def loss(student, targets, **more): raise SystemError\n"
        "def two(a, b): raise SystemError\n"
    )
    (tmp_path / "own_broken.py").write_text("1 / 0\n")
    names = {"fusion": "own_rules:rule", "selection": "own_rules:rule", "loss": "own_rules:loss"}
    assert MultiAssistantTrainingArguments("out", **names).fusion == "own_rules:rule"
    for wrong in ({"fusion": "own_rules:two"}, {"selection": "own_rules:two"}, {"loss": "own_broken:f"},
                  {"fusion": "own_rules:three"}, {"selection": "os:system"}, {"loss": "math:hypot"}):  # fmt: skip
        with pytest.raises(InputError, match=next(iter(wrong))):
            MultiAssistantTrainingArguments("out", **wrong)
