"""Private folders are taken out of every text however its format breaks or spells them."""

from __future__ import annotations

import html
import json

import pytest
import yaml

from st_mta.hub.cleaning import CONFIG, Cleaning

LONG = "/data/USER NAME/" + "/".join(["a folder of a long name"] * 8)
OPTIONS = {
    "teacher": f"{LONG}/my teacher",
    "assistants": [f"late-interaction:{LONG}/it's mine", "bm25"],
    "training": {f"{LONG}/key": "x", "hub_token": "hf_" + "argumentTOKEN" * 2, "save_steps": 2},
}


@pytest.mark.parametrize("style", [None, "'", '"', ">"])
def test_paths_that_yaml_breaks_into_lines_are_cut(tmp_path, report, style):
    (tmp_path / "report.json").write_text(json.dumps(report))
    (tmp_path / CONFIG).write_text(yaml.safe_dump(OPTIONS, sort_keys=False, default_style=style))
    published = Cleaning(tmp_path, "me/small").file(tmp_path / CONFIG)
    assert isinstance(published, bytes)
    assert b"USER" not in published and b"long name" not in published and b"TOKEN" not in published
    assert yaml.safe_load(published) == {
        "teacher": "my teacher",
        "assistants": ["late-interaction:it's mine", "bm25"],
        "training": {"key": "x", "save_steps": 2},
    }


@pytest.mark.parametrize("spelt", [str, html.escape, lambda path: f"of {path}, on dev"])
def test_a_quotation_mark_in_a_folder_does_not_end_its_path(tmp_path, report, spelt):
    path = "/data/O'Brien & Co/deep/my model"
    (tmp_path / "report.json").write_text(json.dumps(report))
    (tmp_path / CONFIG).write_text(yaml.safe_dump({"teacher": path, "assistants": [f"bi-encoder:{path}"]}))
    assert Cleaning(tmp_path, "me/small").text(spelt(path)) == spelt("my model")
