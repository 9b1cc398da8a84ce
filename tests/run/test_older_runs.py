"""A run begun with an earlier version resumes: its ``state.json`` knows fewer arguments and fewer results."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from st_mta.errors import InputError
from tests.training.toy_run import toy_trainer

OLDER = json.loads((Path(__file__).parent / "older_state.json").read_text())
MODELS = ("collection", "teacher", "assistants", "student")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, toy_collection):
    folder = tmp_path_factory.mktemp("older")
    toy_trainer(folder / "out", folder / "store", toy_collection).train()
    return folder


@pytest.fixture
def older(finished, tmp_path):
    """That run's folder with the older journal in it; fingerprints of random weights are this machine's."""
    shutil.copytree(finished, tmp_path / "run")
    out = tmp_path / "run" / "out"
    now = json.loads((out / "state.json").read_text())["configuration"]
    state = {**OLDER, "configuration": {**OLDER["configuration"], **{name: now[name] for name in MODELS}}}
    (out / "state.json").write_text(json.dumps(state))
    return out, state


def resume(out, collection, **changes):
    return toy_trainer(out, out.parent / "store", collection, **changes).train(resume_from_checkpoint=True)


def test_it_knows_no_versions_and_fewer_arguments(older):
    _, state = older
    assert "versions" not in state and "optim" not in state["configuration"]
    assert "pairs_per_second" not in state["stations"]["quality"]["result"]


def test_a_finished_one_is_reported(older, toy_collection):
    out, state = older
    report = resume(out, toy_collection)
    assert report["teacher"]["ndcg@10"] == state["stations"]["test"]["result"]["measures"]["T"]["ndcg@10"]
    assert json.loads((out / "state.json").read_text())["stations"] == state["stations"]


def test_one_in_the_middle_of_an_iteration_is_finished(older, toy_collection):
    out, state = older
    names = list(state["stations"])
    kept = names[: names.index("iteration-00/train")]
    state["stations"] = {name: state["stations"][name] for name in kept}
    (out / "state.json").write_text(json.dumps(state))
    shutil.rmtree(out / "iteration-01")
    report = resume(out, toy_collection)
    assert [entry["iteration"] for entry in report["iterations"]] == [0, 1]
    recorded = json.loads((out / "state.json").read_text())["stations"]
    assert list(recorded)[: len(kept)] == kept and recorded["quality"] == state["stations"]["quality"]


def test_other_arguments_are_refused_as_ever(older, toy_collection):
    with pytest.raises(InputError, match="alpha"):
        resume(older[0], toy_collection, alpha=0.3)
