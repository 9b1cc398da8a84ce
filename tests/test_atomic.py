from __future__ import annotations

import errno
import os

import pytest

from st_mta.atomic import atomic_path, atomic_write_text
from st_mta.errors import InputError


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
