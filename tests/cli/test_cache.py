"""``st-mta cache`` with a store that strangers filled, and one that cannot be cleared."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from st_mta.cli.main import main
from st_mta.cli.show import wide_console
from st_mta.stores import Store

KEYS = np.arange(3, dtype=np.uint64)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.scores.append("f" * 32, KEYS, KEYS, np.ones(3))
    return store


def listed(store, capsys):
    assert main(["cache", "--store", str(store.folder)]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("content", ["[]", "null", '"x"', "{", '{"name": 5, "kind": []}', '{"name": null}', "\x00"])
def test_a_broken_description_of_a_scorer(store, capsys, content):
    path = store.folder / "scorers" / ("f" * 32) / "scorer.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert "f" * 16 in listed(store, capsys)


@pytest.mark.parametrize("name", ["a[/x]b", "[bold]c", "\x1b[31mred", ":smile:", "\u202eback"])
def test_names_are_printed_as_they_are(store, capsys, name):
    store.describe("f" * 32, name, "[/kind]")
    printed = listed(store, capsys)
    assert name.replace("\x1b", r"\x1b").replace("\u202e", r"\u202e") in printed and "[/kind]" in printed
    assert "\x1b" not in printed
    wide_console().print(f"Closest: {name}", name)
    printed = capsys.readouterr().out
    assert printed.count(name.replace("\x1b", r"\x1b").replace("\u202e", r"\u202e")) == 2


def test_what_cannot_be_deleted_is_not_said_to_be_freed(store, capsys, monkeypatch):
    store.describe("f" * 32, "x", "y")
    used = store.contents()[0].num_bytes

    def refuse(path, **_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    assert store.clear() == 0
    assert main(["cache", "--store", str(store.folder), "--clear", "all"]) == 2
    message = capsys.readouterr().err
    assert (
        "could not be deleted" in message
        and "Read-only" in message
        and "0 B freed" in message
        and message.count("\n") == 1
    )
    monkeypatch.undo()
    assert store.clear() == used


def test_the_cache_below_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ST_MTA_CACHE", "~/c")
    assert Store().folder == tmp_path / "c"
