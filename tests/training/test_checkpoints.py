"""A training resumes from the newest checkpoint that is as it was written, after any number of kills."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState, TrainingArguments

from st_mta.run.stopping import Stopped, stopping_on_sigterm
from st_mta.training import checkpoints, marked, student_folders
from st_mta.training.marked import COMPLETE, NEEDED, MarkComplete, fault_of, last_complete_checkpoint, mark
from tests.training.toy_run import toy_trainer

FILES = (*NEEDED, "model.safetensors", "1_Pooling/config.json")


def checkpoint(folder, step):
    path = folder / f"checkpoint-{step}"
    for name in FILES:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(f"{name} of step {step}")
    return path


def spoil(path, how):
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {"truncated": content[:-1], "zeroed": bytes(len(content)), "flipped": b"x" + content[1:]}[how]
        )


@pytest.mark.parametrize("how", ["missing", "truncated", "zeroed", "flipped"])
@pytest.mark.parametrize("name", [*FILES, COMPLETE])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, caplog, name, how):
    for step in (9, 10):
        mark(checkpoint(tmp_path, step))
    spoil(tmp_path / "checkpoint-10" / name, how)
    assert last_complete_checkpoint(tmp_path) == str(tmp_path / "checkpoint-9")
    assert not (tmp_path / "checkpoint-10").exists()
    assert (name in caplog.text) == ((name, how) != (COMPLETE, "missing"))
    spoil(tmp_path / "checkpoint-9" / "optimizer.pt", "missing")
    assert last_complete_checkpoint(tmp_path) is None


@pytest.mark.parametrize("name", NEEDED)
def test_a_checkpoint_of_the_weights_alone_is_not_resumed_from(tmp_path, name):
    path = checkpoint(tmp_path, 1)
    (path / name).unlink()
    mark(path)
    assert name in fault_of(path)


def test_the_empty_mark_of_earlier_versions_is_one(tmp_path):
    (checkpoint(tmp_path, 1) / COMPLETE).touch()
    assert last_complete_checkpoint(tmp_path) == str(tmp_path / "checkpoint-1")


@pytest.mark.parametrize("limit", [1, 2, None])
def test_older_ones_go_only_when_the_newest_is_marked(tmp_path, monkeypatch, limit):
    steps = [2, 4, 8, 10]
    arguments, rotate = TrainingArguments(str(tmp_path), report_to="none", use_cpu=True), marked.rotate_checkpoints

    def checked(*given, **named):
        assert (checkpoint_of_now / COMPLETE).exists()
        rotate(*given, **named)

    monkeypatch.setattr(marked, "rotate_checkpoints", checked)
    for step in steps:
        checkpoint_of_now = checkpoint(tmp_path, step)
        MarkComplete(limit).on_save(arguments, TrainerState(global_step=step), TrainerControl())
    left = {int(path.name.rpartition("-")[2]) for path in tmp_path.iterdir()}
    assert left == set(steps[-limit:] if limit else steps)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, toy_collection):
    folder = tmp_path_factory.mktemp("checkpoints")
    report = train(folder / "out", folder, toy_collection)
    return folder, report


def train(out, folder, collection, **changes):
    changes = {"num_iterations": 1, "save_steps": 1, "save_total_limit": 2, **changes}
    trainer = toy_trainer(out, folder / "store", collection, **changes)
    return trainer.train(resume_from_checkpoint=trainer.distillation.folder.begun)


def at_step(monkeypatch, step, act):
    """Acts in the training step of this number, counted over all trainings; returns the steps begun."""
    steps, work = [], checkpoints.StageTrainer.training_step

    def acting(self, *arguments, **keywords):
        steps.append(1)
        if len(steps) == step:
            act()
        return work(self, *arguments, **keywords)

    monkeypatch.setattr(checkpoints.StageTrainer, "training_step", acting)
    return steps


def kill(*_):
    raise KeyboardInterrupt


def assert_same(finished, out, report=None):
    whole, again = (load_file(path / "student/model.safetensors") for path in (finished[0] / "out", out))
    assert whole.keys() == again.keys() and all(torch.equal(whole[name], again[name]) for name in whole)
    assert not list(out.rglob("checkpoint-*")) and not list(out.rglob("*.tmp"))
    if report is not None:
        assert report["compute"]["training_sequences"] == finished[1]["compute"]["training_sequences"]


def test_damaged_in_a_run_that_was_killed_twice(finished, toy_collection, tmp_path, monkeypatch, caplog):
    out = tmp_path / "out"
    for step, damage in ((3, ("optimizer.pt", "missing")), (5, ("model.safetensors", "zeroed"))):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            at_step(patch, step, kill)
            train(out, finished[0], toy_collection)
        newest = max(out.rglob("checkpoint-*"), key=lambda path: path.stat().st_mtime)
        spoil(newest / damage[0], damage[1])
    report = train(out, finished[0], toy_collection)
    assert caplog.text.count("Removing the checkpoint") == 2
    assert_same(finished, out, report)


@pytest.mark.parametrize("step", [2, 5], ids=["in the warm-up", "in the iteration"])
def test_sigterm_saves_a_checkpoint_at_the_step(finished, toy_collection, tmp_path, monkeypatch, step):
    out, unsaved = tmp_path / "out", {"save_steps": 1000, "logging_steps": 7}
    with monkeypatch.context() as patch, stopping_on_sigterm():
        steps = at_step(patch, step, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Stopped, match="saved as of step"):
            train(out, finished[0], toy_collection, **unsaved)
        assert len(steps) == step
    steps = at_step(monkeypatch, 0, kill)
    report = train(out, finished[0], toy_collection, **unsaved)
    assert_same(finished, out, report)


def test_a_kill_before_the_student_is_saved_costs_no_training(finished, toy_collection, tmp_path, monkeypatch):
    out = tmp_path / "out"
    saves, save = [], student_folders.save_student

    def dying(student, folder):
        saves.append(folder)
        if folder.parent.name in ("warm-up", "iteration-00"):
            kill()
        save(student, folder)

    for _ in range(2):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(student_folders, "save_student", dying)
            train(out, finished[0], toy_collection)
    steps = at_step(monkeypatch, 0, kill)
    report = train(out, finished[0], toy_collection)
    assert 0 < len(steps) <= 3  # the iteration's alone
    assert_same(finished, out, report)


def test_everything_that_is_read_again_may_be_damaged(finished, toy_collection, tmp_path, caplog):
    out = shutil.copytree(finished[0] / "out", tmp_path / "out")
    for name, how in (
        ("student-before/model.safetensors", "flipped"),
        ("warm-up/student/config_sentence_transformers.json", "truncated"),
        ("iteration-00/queries.npz", "zeroed"),
        ("iteration-00/scores.npy", "flipped"),
        ("iteration-00/student/model.safetensors", "zeroed"),
        ("iteration-00/log_history.json", "truncated"),
        ("runs/student.trec", "truncated"),
        ("state.json", "truncated"),
    ):
        spoil(out / name, how)
    report = train(out, finished[0], toy_collection)
    assert [
        record.message.count("iteration-00/scores.npy") for record in caplog.records if "changed" in record.msg
    ] == [1]
    assert_same(finished, out, report)
    assert report["student"] == finished[1]["student"] | {
        "queries_per_second": report["student"]["queries_per_second"]
    }
    assert (out / "runs/student.trec").read_bytes() == (finished[0] / "out/runs/student.trec").read_bytes()


def test_what_the_host_is_given(finished, toy_collection, tmp_path, monkeypatch, recwarn):
    given, make = [], checkpoints.StageTrainer.__init__

    def seen(self, *arguments, **named):
        given.append(named["args"])
        make(self, *arguments, **named)

    monkeypatch.setattr(checkpoints.StageTrainer, "__init__", seen)
    train(tmp_path / "out", finished[0], toy_collection, regression_epochs=0.0)
    [arguments] = given
    assert arguments.save_total_limit is None and not arguments.dataloader_pin_memory
    assert not arguments.logging_nan_inf_filter
    assert not [warned for warned in recwarn if "pin" in str(warned.message)]
