"""What the operating system refuses is one message, whoever words it; places to write to are tried first."""

from __future__ import annotations

import errno
import os

import pytest
from safetensors import SafetensorError

from st_mta.errors import InputError
from st_mta.os_errors import REASONS, explained
from st_mta.outputs import Folders, check_output_file, check_output_folder


@pytest.mark.parametrize("number", REASONS, ids=errno.errorcode.get)
def test_every_refusal_names_the_file_the_reason_and_what_to_do(number):
    message = str(explained(OSError(number, os.strerror(number), "some/file")))
    assert "some/file" in message and REASONS[number][0][1:] in message and REASONS[number][1] in message


@pytest.mark.parametrize(
    "error",
    [
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
        OSError("1920 requested and 992 written"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
        OSError(f"[Errno {errno.ENOSPC}] Error writing bytes. Detail: [errno 28] No space left on device"),
    ],
)
def test_a_full_disk_in_the_words_of_libraries(error):
    assert "The disk is full" in str(explained(error))


@pytest.mark.parametrize("kind", [FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError])
def test_errors_that_a_library_words_itself(kind):
    assert "a/folder" in str(explained(kind("Path a/folder: no")))


def test_causes_are_looked_at_and_faults_stay_faults():
    outer = RuntimeError("could not save")
    outer.__cause__ = PermissionError(errno.EACCES, "Permission denied", "f")
    assert "It is not permitted" in str(explained(outer))
    for other in (ValueError("x"), KeyError("y"), OSError("no number"), ConnectionError("down"), RuntimeError()):
        assert explained(other) is None


def test_places_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for place in ("file/x", "loop/x", "gone", "loop", "y" * 300, "a/" * 3000 + "x", "a\0b"):
        for check in (check_output_folder, check_output_file):
            with pytest.raises(InputError):
                check(tmp_path / place)
        assert place == "gone" or str(tmp_path / place) not in Folders()
    with pytest.raises(InputError, match="the file"):
        check_output_folder(tmp_path / "file")
    with pytest.raises(InputError, match="the folder"):
        check_output_file(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert check_output_folder(tmp_path / "new" / "er") and check_output_file(tmp_path / "new" / "f.trec")
    assert sorted(tmp_path.iterdir()) == before

    def read_only(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("st_mta.outputs.tempfile.TemporaryFile", read_only)
    with pytest.raises(InputError, match="read-only"):
        check_output_folder(tmp_path)
    assert str(tmp_path) in Folders(), "a store may be read there"
