"""``st-mta import`` writes a collection and shows the commands that use it."""

from __future__ import annotations

import json
import shlex

import pytest

from st_mta.cli.main import main
from st_mta.cli.parse import parse
from st_mta.collections import load_collection
from st_mta.recipes.distill import DistillConfig
from st_mta.scorers import load_scorer

RECORD = {"query": "Who purrs?", "pos": ["Cats purr."], "neg": ["Fish swim."]}
SCORES = {"pos_scores": [2.5], "neg_scores": [-1.0]}


def test_what_it_prints_is_a_command_that_can_be_read(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text(json.dumps({**RECORD, **SCORES}))
    folder = tmp_path / "my pets"
    assert main(["import", str(tmp_path / "a.jsonl"), "--output-dir", str(folder)]) == 0
    words = shlex.split(capsys.readouterr().out.replace("\\\n", " "))
    config = parse(DistillConfig, words[2:], "distill", "")
    collection, teacher = load_collection(config.collection), load_scorer(config.teacher)
    assert teacher.score(collection.queries, collection.corpus, [0, 0], [0, 1]).tolist() in ([2.5, -1.0], [-1.0, 2.5])


def test_without_scores_it_shows_how_to_make_them(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text(json.dumps(RECORD))
    assert main(["import", str(tmp_path / "a.jsonl"), "--output-dir", str(tmp_path / "out")]) == 0
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first.startswith("st-mta score ") and str(tmp_path / "out" / "pairs.parquet") in first
    assert second.startswith("st-mta distill ")


@pytest.mark.parametrize("option", [["--form", "colbert"], ["--form", "pylate"], ["--corpus", "nowhere.jsonl"]])
def test_what_is_wrong_is_said_in_one_line(option, tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text(json.dumps(RECORD))
    assert main(["import", str(tmp_path / "a.jsonl"), "--output-dir", str(tmp_path / "out"), *option]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("st-mta import: Expected") and "To do:" in error
    assert not (tmp_path / "out").exists()
