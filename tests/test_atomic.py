from __future__ import annotations

import errno
import os

import pytest

from st_mta.atomic import atomic_folder, atomic_path, atomic_write_text, watching
from st_mta.errors import InputError
from st_mta.os_errors import is_full_disk


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_the_final_name_appears_only_when_the_block_ends(tmp_path):
    path = tmp_path / "folder" / "file.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent  # a rename across file systems would not be atomic
    assert path.read_text() == "whole"


def test_a_full_disk_is_explained_and_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="(?s)full disk.*will be reused"), atomic_path(tmp_path / "file") as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_other_failures_of_the_system_come_as_they_are(tmp_path):
    with pytest.raises(PermissionError), atomic_path(tmp_path / "file"):
        raise PermissionError(errno.EACCES, "denied")


def test_text_is_written_in_utf8(tmp_path):
    atomic_write_text(tmp_path / "file", "é")
    assert (tmp_path / "file").read_bytes() == "é".encode()


class FullInRust(Exception):
    """As safetensors raises."""


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    OSError("1920 requested and 992 written"),
    RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
    RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
    FullInRust("Error while serializing: I/O error: No space left on device (os error 28)"),
    FullInRust("I/O error: Disk quota exceeded (os error 122)"),
]


@pytest.mark.parametrize("error", FULL, ids=lambda error: str(error)[:25])
@pytest.mark.parametrize("make", [atomic_path, atomic_folder])
def test_every_way_to_say_that_the_disk_is_full_is_one_message(tmp_path, error, make):
    with pytest.raises(InputError, match="(?s)full disk.*free some space"), make(tmp_path / "name"):
        raise error
    assert os.listdir(tmp_path) == []


UNREADABLE = RuntimeError("[enforce fail at inline_container.cc:145] . PytorchStreamReader failed reading zip archive")


@pytest.mark.parametrize(
    "error", [ValueError("3 requested"), OSError(errno.EIO, "Input/output error"), KeyError("x"), UNREADABLE]
)
def test_other_errors_are_no_full_disk(error):
    assert not is_full_disk(error)


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "model") as folder:
        (folder / "half").touch()
        raise RuntimeError
    assert os.listdir(tmp_path) == []
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "modules.json").write_text("1")
        assert not (tmp_path / "model").exists()
    assert os.listdir(tmp_path / "model") == ["modules.json"]


def test_files_of_others_in_a_folder_stay_and_its_mark_comes_last(tmp_path, monkeypatch):
    model = tmp_path / "model"
    (model / "deep").mkdir(parents=True)
    for name in ("deep/mine", "weights", "modules.json"):
        (model / name).write_text("old")
    replaced, replace = [], os.replace

    def noting(source, target):
        assert not (model / "modules.json").exists()
        replaced.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", noting)
    with atomic_folder(model) as folder:
        (folder / "deep").mkdir()
        for name in ("modules.json", "weights", "deep/a"):
            (folder / name).write_text("new")
    assert (model / "deep/mine").read_text() == "old"
    assert replaced[-1] == model / "modules.json" and len(replaced) == 3


def test_a_watcher_sees_every_file_before_it_has_its_name(tmp_path):
    seen = []
    with watching(lambda path, temporary: seen.append((path.name, path.exists(), temporary.read_text()))):
        atomic_write_text(tmp_path / "a", "1")
        with atomic_folder(tmp_path / "b") as folder:
            (folder / "c").write_text("2")
    atomic_write_text(tmp_path / "d", "3")
    assert seen == [("a", False, "1"), ("c", False, "2")]


def test_a_name_as_long_as_it_may_be(tmp_path):
    for name in ("x" * 255, "漢" * 85):
        atomic_write_text(tmp_path / name, "text")
