"""Embeddings of students that lost are deleted, those that are needed stay, and none changes a number."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from st_mta.run.best import BestSoFar
from st_mta.run.folder import RunFolder
from st_mta.run.results import Evaluated, Kept, Promoted, WarmedUp
from st_mta.scorers import BiEncoderScorer
from st_mta.stores import Store
from st_mta.training import distillation, forgotten
from tests.training.test_trainer import assert_same, weights
from tests.training.toy_run import killed, toy_trainer

# What stays, by the rule alone.


class FakeJournal(dict):
    def result(self, name, kind):
        return self[name]


def fake_run(fingerprints, pool=(), promoted=()):
    """A run after as many iterations as there are fingerprints behind those of the first student and the warm-up."""
    before, warm_up, *iterations = fingerprints
    results = {"student-before": Kept(before), "warm-up": WarmedUp(fingerprint=warm_up)}
    results |= {f"iteration-{i:02d}/evaluate": Evaluated({}, one) for i, one in enumerate(iterations)}
    gone: list[str] = []
    return SimpleNamespace(
        gone=gone,
        journal=FakeJournal(results),
        folder=RunFolder(Path("out")),
        pool=SimpleNamespace(assistant_names=list(pool), promoted=set(promoted)),
        students=SimpleNamespace(forget=gone.append),
    )


@pytest.mark.parametrize(
    ("fingerprints", "best", "pool", "gone"),
    [
        ("bw0", "iteration-00", [], "w"),
        ("bw0", "warm-up", [], "0"),
        ("bw012", "iteration-01", [], "02w"),
        ("bw012", "student-before", [], "012w"),
        ("bw012", "iteration-01", ["bm25", "iteration-00"], "2w"),
        ("bw0b", "student-before", [], "0w"),  # a training that changed nothing
        ("b-0b", "iteration-01", [], "0"),  # no warm-up
        ("-w012", "iteration-01", [], ""),  # begun by a version that did not note them
        ("bw0-2", "iteration-01", [], ""),
        ("bw-12", "iteration-02", [], "1w"),
    ],
)
def test_what_is_deleted_after_an_iteration(fingerprints, best, pool, gone):
    names = [one.replace("-", "") for one in fingerprints]
    # "iteration-02" was promoted once and replaced; an assistant of the user's is no student.
    run = fake_run(names, pool, promoted=["iteration-00", "iteration-02"])
    done = BestSoFar(0.5, Path(), best, done=len(fingerprints) - 2)
    forgotten.forget_losers(run, done)
    assert "".join(run.gone) == gone


def test_what_comes_later_is_not_looked_at():
    """A resumed run goes through its iterations again; embeddings of later ones are there already."""
    run = fake_run("bw012")
    forgotten.forget_losers(run, BestSoFar(0.5, Path(), "iteration-00", done=1))
    assert run.gone == ["w"]


def test_a_finished_run_needs_none():
    run = fake_run(["b", "", "0", "0"], ["iteration-00"], ["iteration-00"])
    forgotten.forget_all(run, BestSoFar(0.5, Path(), "iteration-01", done=2))
    assert run.gone == ["0", "b"]


# Whole runs: the first iteration's student is promoted, the second's is the best, the third's loses.


def run(folder, collection, resume=False):
    options = {"num_iterations": 3, "regression_epochs": 0.0, "queries_per_iteration": 10, "curriculum": "none"}
    trainer = toy_trainer(folder / "out", folder / "store", collection, **options)
    return trainer.train(resume_from_checkpoint=resume)


@pytest.fixture(autouse=True, scope="module")
def decided():
    """How good the students are on dev, and who is promoted."""
    iterate, promote = distillation.Distillation.iterate, distillation.ITERATION[-1]

    def as_said(self, iteration, start_from):
        iterate(self, iteration, start_from)
        return [1.0, 2.0, 0.0][iteration]

    def promoting(run, iteration, start_from):
        return Promoted("A" if iteration == 0 else None, run.pool.assistant_names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distillation.Distillation, "iterate", as_said)
        patch.setattr(distillation, "ITERATION", (*distillation.ITERATION[:-1], promote._replace(work=promoting)))
        yield


@pytest.fixture(scope="module")
def batches():
    """What every model encoded together, by fingerprint."""
    found, encode = defaultdict(list), BiEncoderScorer.encode

    def remembering(self, texts, role):
        found[self.fingerprint].append((role, tuple(texts)))
        return encode(self, texts, role)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BiEncoderScorer, "encode", remembering)
        yield found


@pytest.fixture(scope="module")
def whole(tmp_path_factory, toy_collection, batches):
    folder = tmp_path_factory.mktemp("whole")
    run(folder, toy_collection)
    return folder, {name: set(found) for name, found in batches.items()}


def stations(folder):
    return json.loads((folder / "out/state.json").read_text())["stations"]


def fingerprints(folder):
    """Of the students, by name."""
    done = stations(folder)
    names = {name.partition("/")[0]: name for name in done if name.endswith(("student-before", "/evaluate"))}
    return {name: done[stage]["result"]["fingerprint"] for name, stage in names.items()}


def stored(folder):
    """Names of the students of which anything is stored."""
    there = {scorer.fingerprint for scorer in Store(folder / "out/student-embeddings").contents()}
    return {name for name, fingerprint in fingerprints(folder).items() if fingerprint in there}


def test_a_finished_run_keeps_none(whole):
    folder, _ = whole
    assert len(set(fingerprints(folder).values())) == 4
    assert stored(folder) == set()
    assert not any(path.is_file() for path in (folder / "out/student-embeddings").rglob("part-*"))


@pytest.mark.parametrize("name", ["iteration-01/candidates.parquet", "iteration-02/scores.npy"])
def test_a_repeated_stage_encodes_what_was_deleted_in_the_same_batches(whole, tmp_path, toy_collection, batches, name):
    folder, first = whole
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "out" / name).unlink()
    batches.clear()
    run(tmp_path, toy_collection, resume=True)
    again = {fingerprint: found for fingerprint, found in batches.items() if found}
    assert again and set(again) <= set(fingerprints(folder).values())
    assert all(set(found) <= first[fingerprint] for fingerprint, found in again.items())
    before, after = stations(folder), stations(tmp_path)
    assert list(after) == list(before)
    assert [entry["files"] for entry in after.values()] == [entry["files"] for entry in before.values()]
    assert stored(tmp_path) == set()


def test_a_killed_run_deletes_when_it_resumes_and_encodes_again_what_somebody_else_deleted(
    whole, tmp_path, toy_collection, monkeypatch
):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(distillation, "forget_losers", interrupted_after("iteration-02/promote"))
        run(tmp_path, toy_collection)
    assert stored(tmp_path) == {"student-before", "iteration-00", "iteration-01", "iteration-02"}
    with killed(monkeypatch, "test"):
        run(tmp_path, toy_collection, resume=True)
    assert stored(tmp_path) == {"student-before", "iteration-00", "iteration-01"}
    shutil.rmtree(tmp_path / "out/student-embeddings")
    run(tmp_path, toy_collection, resume=True)
    assert_same(*(weights(folder / "out/student") for folder in (whole[0], tmp_path)))
    for name in ("student", "student-before"):
        assert (tmp_path / f"out/runs/{name}.trec").read_bytes() == (whole[0] / f"out/runs/{name}.trec").read_bytes()


def interrupted_after(stage):
    """As if the process was killed before it came to delete anything."""

    def die(run, best):
        if stage in run.journal:
            raise KeyboardInterrupt

    return die
