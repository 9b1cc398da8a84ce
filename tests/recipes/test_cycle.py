"""The cycle of Trans-Encoder: each training's student labels for the next, and nobody's judgements are read."""

from __future__ import annotations

import json

import pytest
from sentence_transformers import CrossEncoder, SentenceTransformer

from st_mta.cli.main import main
from st_mta.collections import load_collection
from st_mta.errors import InputError
from st_mta.recipes import cycle as recipe
from st_mta.recipes.cycle import CycleConfig, halves_of, without_judgements
from tests.recipes.test_ladder import QUICK, write_collection
from tests.tiny import saved, tiny_cross_encoder, tiny_sentence_transformer


def test_each_student_teaches_the_next_and_all_begin_with_the_base():
    config = CycleConfig(collection="c", base="b", output_dir="out", cycles=2)
    assert list(halves_of(config)) == [
        ("1-cross-encoder", "cross-encoder:b", "b"),
        ("1-bi-encoder", "b", "out/1-cross-encoder/student"),
        ("2-cross-encoder", "cross-encoder:b", "out/1-bi-encoder/student"),
        ("2-bi-encoder", "b", "out/2-cross-encoder/student"),
    ]
    assert config.num_iterations == 1
    with pytest.raises(ValueError, match="cycles"):
        CycleConfig(collection="c", base="b", output_dir="out", cycles=0)


def test_training_judgements_are_dropped_and_no_others(toy_collection):
    bare = without_judgements(toy_collection)
    assert "train" not in bare.qrels and bare.qrels["test"] == toy_collection.qrels["test"]
    assert bare.unlabelled.tolist() == toy_collection.queries_of("train").tolist()
    assert "24 training queries are not used" in bare.notes[-1] and without_judgements(bare) is bare


def test_the_command_trains_both_halves_and_resumes(tmp_path, monkeypatch, capsys):
    base = saved(tiny_sentence_transformer(1), tmp_path / "base")
    config, out = tmp_path / "config.yaml", tmp_path / "out"
    inputs = {"collection": write_collection(tmp_path / "data"), "base": base, "output_dir": str(out)}
    config.write_text(json.dumps({**QUICK, **inputs, "store": str(tmp_path / "store"), "cycles": 1}))
    work, begun = recipe.run_trainer, []
    only_json = lambda root, report, **_: (root / "report.json").write_text(json.dumps(report))  # noqa: E731
    monkeypatch.setattr("st_mta.training.trainer.write_report", only_json)

    def dying(trainer, given):
        begun.append(type(trainer.model))
        if len(begun) == 2:
            raise InputError(expected="no kill", got="one", remedy="resume")
        return work(trainer, given)

    monkeypatch.setattr(recipe, "run_trainer", dying)
    assert main(["cycle", "--config", str(config)]) == 2
    assert main(["cycle", "--config", str(config)]) == 0
    assert begun == [CrossEncoder, SentenceTransformer] * 2
    rows = json.loads((out / "cycle.json").read_text())
    assert [row["folder"] for row in rows] == ["1-cross-encoder", "1-bi-encoder"]
    assert str(out / "1-bi-encoder/student") in capsys.readouterr().out
    state = json.loads((out / "1-bi-encoder/state.json").read_text())
    assert str(out / "1-cross-encoder/student") in state["configuration"]["teacher"]
    assert load_collection(inputs["collection"]).qrels["train"]  # which the runs did not read
    lists = json.loads((out / "1-cross-encoder/report.json").read_text())["collection"]
    assert lists["queries"].get("train", 0) == 0


@pytest.mark.parametrize(
    ("base", "got"),
    [("{folder}", "saved as a cross-encoder"), ("bm25", "'bm25', in which"), ("cross-encoder:{folder}", "in which")],
)
def test_what_is_no_encoder_is_refused_as_base(base, got, tmp_path, capsys):
    base = base.format(folder=saved(tiny_cross_encoder(1), tmp_path / "base"))
    line = ["cycle", "--base", base, "--collection", "nowhere", "--output-dir", str(tmp_path / "out")]
    assert main(line) == 2
    said = capsys.readouterr().err
    assert "Expected a bi-encoder as base" in said and got in said and "student" not in said
