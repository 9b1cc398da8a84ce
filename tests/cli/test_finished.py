"""The same command again: a finished run answers, unless something it depends on is no longer the same."""

from __future__ import annotations

import json
import shutil

import pytest

from st_mta.cli.main import main
from tests.cli.test_main import data, distill_arguments, refused  # noqa: F401
from tests.tiny import saved, tiny_sentence_transformer


@pytest.fixture
def here(data, tmp_path):  # noqa: F811
    """Collection and models of its own, so that they can be changed."""
    shutil.copytree(data, tmp_path / "inputs")
    return tmp_path / "inputs"


def run(here, *more):
    return main([str(a) for a in [*distill_arguments(here, here.parent / "out"), *more]])


def figures(here):
    report = json.loads((here.parent / "out" / "report.json").read_text())
    return report["teacher"]["ndcg@10"], report["student"]["ndcg@10"]


def change_judgements(here):
    (here / "data" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq30\tp3\t1\n")


def change_a_passage(here):
    path = here / "data" / "corpus.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps({"_id": "p0", "text": "the old ship"}), *lines[1:]]) + "\n")


def change_the_teacher(here):
    shutil.rmtree(here / "teacher")
    saved(tiny_sentence_transformer(7), here / "teacher")


def change_the_student(here):
    shutil.rmtree(here / "student")
    saved(tiny_sentence_transformer(8, layers=3), here / "student")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (change_judgements, "collection"),
        (change_a_passage, "collection"),
        (change_the_teacher, "teacher"),
        (change_the_student, "student"),
    ],
)
def test_changed_inputs_get_no_old_answer(here, capsys, change, named):
    assert run(here) == 0
    before = figures(here)
    change(here)
    capsys.readouterr()
    message = refused(capsys, *distill_arguments(here, here.parent / "out"))
    assert f"{named}:" in message and "--overwrite" in message and figures(here) == before
    assert run(here, "--overwrite") == 0
    assert figures(here) != before


def test_another_training_argument_is_another_run_and_is_not_written_down(here, capsys):
    assert run(here) == 0
    kept = (here.parent / "out" / "config.yaml").read_text()
    arguments = [*distill_arguments(here, here.parent / "out"), "--training", '{"optim": "sgd", "adam_beta1": 0.1}']
    assert "optim" in refused(capsys, *arguments)
    assert (here.parent / "out" / "config.yaml").read_text() == kept


def test_a_deleted_student_is_written_again(here):
    assert run(here) == 0
    shutil.rmtree(here.parent / "out" / "student")
    assert run(here) == 0
    assert (here.parent / "out" / "student" / "model.safetensors").exists()


@pytest.mark.parametrize("loss", ["reverse-kl", "margin-mse", "distill-kl-div", "embed-distill", "mnrl"])
def test_every_loss_has_a_word(here, loss):
    logged = ["--training", '{"logging_steps": 1}']
    assert run(here, "--loss", loss, "--regression-epochs", "0", "--learning-rate", "0.001", *logged) == 0
    assert json.loads((here.parent / "out" / "report.json").read_text())["iterations"][0]["loss"]["last"] > 0


def test_an_unknown_loss_is_refused_at_once(here, capsys):
    assert "margin-mse" in refused(capsys, *distill_arguments(here, here.parent / "out"), "--loss", "margin")
    assert not (here.parent / "out").exists()
