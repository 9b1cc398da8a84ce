"""``st-mta cache`` with a store that strangers filled, and one that cannot be cleared."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from st_mta.cli.cache import bytes_in, seconds_in
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


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "null",
        '"x"',
        "{",
        "[" * 100_000,
        '{"name": "\\ud800"}',
        '{"name": 5, "kind": []}',
        '{"name": null}',
        "\x00",
    ],
)
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


def cache(store, *arguments):
    return main(["cache", "--store", str(store.folder), *arguments])


def test_a_store_is_shrunk_by_age_and_by_size(store, capsys):
    store.describe("f" * 32, "old [/x] one", "kind")
    for path in store.folder.rglob("*"):
        os.utime(path, (time.time() - 31 * 86_400,) * 2)
    store.scores.append("e" * 32, KEYS, KEYS, np.ones(3))
    assert "31d ago" in listed(store, capsys)
    assert cache(store, "--older-than", "30d", "--max-size", "1GB") == 0
    printed = capsys.readouterr().out
    assert "old [/x] one" in printed and "freed" in printed and "eeee" not in printed
    assert [scorer.fingerprint for scorer in store.contents()] == ["e" * 32]
    assert cache(store, "--max-size", "0") == 0
    assert "0 B left" in capsys.readouterr().out and store.contents() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--max-size", "large"],
        ["--max-size=-1GB"],
        ["--max-size", "nan"],
        ["--max-size", ""],
        ["--older-than", "30"],
        ["--older-than", "inf d"],
        ["--older-than=-3d"],
        ["--clear", "all", "--older-than", "3d"],
    ],
)
def test_sizes_and_times_that_are_none(store, capsys, arguments):
    assert cache(store, *arguments) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and arguments[0].split("=")[0] in message
    assert len(store.contents()) == 1


@pytest.mark.parametrize(
    ("size", "expected"),
    [("20GB", 20 * 10**9), ("500 mb", 5 * 10**8), ("1.5TiB", 1.5 * 2**40), ("7", 7), ("3k", 3000), ("0B", 0)],
)
def test_sizes(size, expected):
    assert bytes_in(size) == expected


@pytest.mark.parametrize(("age", "expected"), [("30d", 30 * 86_400), ("12 h", 43_200), ("1.5w", 907_200), ("5M", 300)])
def test_ages(age, expected):
    assert seconds_in(age) == expected


def test_what_killed_runs_left_is_listed(store, capsys):
    assert "damaged" not in listed(store, capsys)
    (store.folder / "scores" / ("f" * 32) / f"part-{'0' * 32}.parquet.damaged").write_bytes(b"x" * 5000)
    assert "5.0 kB of it are damaged files" in listed(store, capsys)


def test_a_store_that_is_a_file(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["cache", "--store", str(tmp_path / "file")]) == 2
    message = capsys.readouterr().err
    assert "no folder" in message and message.count("\n") == 1


def test_a_dry_run_says_what_would_go_and_leaves_it(store, capsys):
    left = store.folder / "scores" / ("f" * 32) / f"part-{'0' * 32}.parquet.damaged"
    left.write_bytes(b"x" * 5000)
    before = {path: path.read_bytes() for path in store.folder.rglob("*") if path.is_file()}
    size = sum(map(len, before.values()))
    for arguments in (["--max-size", "0"], ["--clear", "all"], ["--clear", "f"]):
        assert cache(store, *arguments, "--dry-run") == 0
        printed = capsys.readouterr().out
        assert f"{size / 1000:.1f} kB would be freed" in printed, arguments
    assert cache(store, "--older-than", "30d", "--dry-run") == 0
    assert "5.0 kB would be freed" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before
    assert cache(store, "--max-size", "0") == 0
    assert f"{size / 1000:.1f} kB freed" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--dry-run"], ["--run", "out", "--clear", "all"], ["--run", "nowhere"]])
def test_options_that_do_not_go_together(store, capsys, arguments):
    assert cache(store, *arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert len(store.contents()) == 1


@pytest.mark.parametrize("finished", [False, True])
def test_students_that_lost_are_dropped_from_the_run_and_from_the_store(tmp_path, store, capsys, finished):
    """Iteration 0 is the best, 1 is promoted in place of bm25, and 2 in place of 1."""
    prints = dict(zip(("before", "warm", "0", "1", "2"), ("b" * 32, "a" * 32, "0" * 32, "1" * 32, "2" * 32)))
    stations = {
        "student-before": {"fingerprint": prints["before"]},
        "quality": {"dev": {"student-before": {"ndcg@10": 0.1}}, "first_stage": "bm25"},
        "warm-up": {"fingerprint": prints["warm"], "student": "warm-up/student", "dev": {"ndcg@10": 0.2}},
    }
    for number, (dev, replaced) in enumerate([(0.5, None), (0.4, "bm25"), (0.45, "iteration-01")]):
        stations[f"iteration-0{number}/evaluate"] = {"dev": {"ndcg@10": dev}, "fingerprint": prints[str(number)]}
        stations[f"iteration-0{number}/promote"] = {"replaced": replaced, "pool": []}
    stations |= {"serving": {"forms": []}} if finished else {}
    out = tmp_path / "out"
    out.mkdir()
    written = {name: {"result": result} for name, result in stations.items()}
    (out / "state.json").write_text(json.dumps({"configuration": {}, "stations": written}))
    own = Store(out / "student-embeddings")
    for place in (own, store):
        for fingerprint in prints.values():
            place.scores.append(fingerprint, KEYS, KEYS, np.ones(3))
    kept = {prints["0"]} if finished else {prints["before"], prints["0"], prints["2"]}
    assert cache(store, "--run", str(out), "--dry-run") == 0
    assert "iteration-01" in capsys.readouterr().out
    assert len(own.contents()) == 5 and len(store.contents()) == 6
    assert cache(store, "--run", str(out)) == 0
    assert {scorer.fingerprint for scorer in own.contents()} == kept
    assert {scorer.fingerprint for scorer in store.contents()} == {*kept, "f" * 32}
