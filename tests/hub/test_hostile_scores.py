"""Published scores: what a store with hostile names sends, and what a hostile dataset can do to its reader."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from huggingface_hub import DatasetCard
from markdown_it import MarkdownIt

from st_mta.cli.main import main
from st_mta.errors import InputError
from st_mta.hub.scores import score_files
from st_mta.scorers import load_scorer
from st_mta.stores import Store
from tests.hub.hostile_run import MARKUP, SECRETS
from tests.hub.test_hostile import active
from tests.hub.test_scores import score_pairs, store, written  # noqa: F401

NAME = f"/home/USER NAME/some project/{MARKUP.replace('/', '')} [x](javascript:alert) \x1b[31m \u202e | `--- $x_{{$"


def describe(store, name, kind="bm25"):  # noqa: F811
    (path,) = (path for path in (store.folder / "scorers").rglob("scorer.json") if f'"{kind}"' in path.read_text())
    path.write_text(json.dumps(name) if not isinstance(name, str) else json.dumps({"name": name, "kind": kind}))
    return path.parent.name


def test_a_push_of_scores_with_hostile_names(store, hub, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setenv("HF_TOKEN", SECRETS["HF_TOKEN"])
    describe(store, NAME)
    describe(store, f"model of {SECRETS['project']} at ftp://me:{SECRETS['password']}@host/x", "cross-encoder")
    (store.folder / "scores" / ".hidden").mkdir()
    assert main(["push-scores", "--repo", "me/scores", "--store", str(store.folder), "--license", "a: [b"]) == 0
    assert "\x1b[31m" not in capsys.readouterr().out
    published = hub.files("me/scores", "datasets")
    for path, data in published.items():
        private = [b"USER NAME", b"some project", str(store.folder).encode(), *(s.encode() for s in SECRETS.values())]
        assert not [text for text in private if text in data or text.decode() in path], path
        if not path.endswith(".parquet"):
            assert b"\x1b" not in data and "\u202e".encode() not in data
    card = DatasetCard(published["README.md"].decode())
    assert not active(MarkdownIt("commonmark", {"html": True}).enable("table").render(card.text))
    assert card.data.license == "a: [b" and len(card.data.configs) == 2
    assert yaml.safe_load(published["README.md"].decode().split("\n---\n")[0].removeprefix("---"))


NOT_DESCRIBED = [
    [], None, 5, {"name": 5, "kind": "bm25"}, {"name": "a"}, {"name": None, "kind": "bm25"},
    NAME, "a\nb", "", "x" * 300, "\u202e",
]  # fmt: skip


@pytest.mark.parametrize("described", NOT_DESCRIBED)
def test_a_published_scorer_that_is_not_described(store, tmp_path, described, capsys):  # noqa: F811
    folder = written(score_files(store, "me/scores"), tmp_path / "copy")
    key = describe(Store(folder), described)
    capsys.readouterr()
    with pytest.raises(InputError, match=rf"{key}/scorer\.json") as raised:
        load_scorer(f"stored:{folder}#{key[:8]}")
    assert str(raised.value).isprintable()
    assert main(["cache", "--store", str(folder)]) == 0, "the others can still be listed"
    assert key[:8] in capsys.readouterr().out


@pytest.mark.parametrize("name", ["../../x", "a' OR 1=1; --", "[/x]", "student", MARKUP])
def test_a_published_scorer_of_an_odd_name_is_read(store, tmp_path, toy_collection, name):  # noqa: F811
    folder = written(score_files(store, "me/scores"), tmp_path / "copy")
    key = describe(Store(folder), name)
    scorer = load_scorer(f"stored:{folder}#{key[:8]}")
    assert scorer.name == name and np.isfinite(score_pairs(scorer, toy_collection)).all()


@pytest.mark.parametrize("damage", [b"", b"no parquet", None])
def test_published_parts_that_are_damaged(store, tmp_path, toy_collection, damage, capsys):  # noqa: F811
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = written(score_files(store, "me/scores", ["bm25"]), tmp_path / "copy")
    part = next((folder / "scores").rglob("*.parquet"))
    if damage is None:
        pq.write_table(pa.table({"query": ["a"], "other": [1]}), part)
    else:
        part.write_bytes(damage)
    with pytest.raises(InputError, match=part.name):
        score_pairs(load_scorer(f"stored:{folder}"), toy_collection)
