"""The last look before an upload, and which files are the run's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from st_mta.errors import InputError
from st_mta.hub.files import run_files
from st_mta.hub.search import PublishedFile, refuse_private
from st_mta.hub.upload import upload
from tests.hub.conftest import TOKEN

TOKENS = ["hf_" + "a1B2" * 6, "sk-" + "a1B2" * 8, "ghp_" + "a1B2" * 9, "AKIA" + "ABCD" * 4]


def refused(*files: PublishedFile) -> str:
    with pytest.raises(InputError, match="nothing was sent") as raised:
        refuse_private(files)
    return str(raised.value)


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("name", ["config.json", "distillation/plots/a.png", "model.safetensors", "tokenizer.json"])
def test_a_token_in_any_file(token, name):
    message = refused(PublishedFile(name, b"\xff\x00 x=" + token.encode() + b" \xff"))
    assert name in message and token not in message


def test_secrets_of_the_environment_are_found_by_their_values(monkeypatch):
    monkeypatch.setenv("MY_SERVICE_PASSWORD", "Tr0ub4dor&3")
    message = refused(PublishedFile("a.bin", b"\x00Tr0ub4dor&3\x00"))
    assert "MY_SERVICE_PASSWORD" in message and "Tr0ub4dor" not in message
    assert "HF_TOKEN" in refused_with_token(monkeypatch)


def refused_with_token(monkeypatch) -> str:
    monkeypatch.setenv("HF_TOKEN", "odd-form-of-a-token-1")
    return refused(PublishedFile("a.txt", b"odd-form-of-a-token-1"))


@pytest.mark.parametrize(
    "text",
    ["/home/somebody/x", "C:\\Users\\somebody\\x", "/Users/some body/x", "file:///home/somebody/x", "/root/x"],
)
def test_folders_below_a_home(text):
    assert "home" in refused(PublishedFile("README.md", f"see {text}.".encode()))
    assert "home" in refused(PublishedFile("a.json", json.dumps({"a": text}).encode()))


def test_the_home_of_this_machine_in_any_byte(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "SOME BODY"))
    assert "SOME BODY" in refused(PublishedFile("a.png", b"\xff" + str(tmp_path / "SOME BODY" / "x").encode()))
    assert "SOME BODY" in refused(PublishedFile(f"{tmp_path}/SOME BODY/x", b""))


def test_metadata_of_weights(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "w.safetensors", {"trained_at": "/home/somebody/models"})
    assert "w.safetensors" in refused(PublishedFile("w.safetensors", tmp_path / "w.safetensors"))


def test_what_is_no_secret_passes(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    texts = ["https://host/home/a/b", "see /usr/lib/x", "risk-of-something-very-very-long", "hf_token", "a/home/b"]
    refuse_private([PublishedFile("a.md", text.encode()) for text in texts])
    refuse_private([PublishedFile("tokenizer.json", b'{"/home/user/": 3}'), PublishedFile("e", tmp_path / "empty")])


def test_nothing_is_sent_where_something_is_found(hub):
    for data in (TOKEN.encode(), b"token-given-by-hand"):
        with pytest.raises(InputError, match=r"a\.bin"):
            upload(
                [PublishedFile("b", b""), PublishedFile("a.bin", data)],
                "me/small",
                repo_type="model",
                message="",
                token="token-given-by-hand",
            )
    assert hub.requests == []


@pytest.fixture
def out(finished, tmp_path):
    import shutil

    return Path(shutil.copytree(finished / "out", tmp_path / "out"))


def paths_of(folder):
    return {file.path for file in run_files(folder, "me/small")}


def test_only_what_the_run_wrote(out, tmp_path, caplog):
    expected, secret = paths_of(out), tmp_path / "secret.json"
    secret.write_text('{"a": 1}')
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "config.json").write_text("{}")
    for name in ("student/linked.json", "plots/against-linked.png", "runs/linked.trec"):
        (out / name).symlink_to(secret)
    (out / "student" / "linked").symlink_to(tmp_path / "elsewhere")
    strangers = (
        "student/.env.json", "student/thesis.tex", "student/notes.txt", "student/x.safetensors.tmp",
        "student/1_Pooling/.git", "student/private/config.json", "student/optimizer.pt", "runs/mine.trec",
        "plots/photo.png", "plots/.quality.png", "student/checkpoint-4/model.safetensors",
    )  # fmt: skip
    for name in strangers:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("{}")
    assert paths_of(out) == expected
    assert "thesis.tex" in caplog.text


def test_folders_that_are_links_stay_here(out, tmp_path):
    (out / "runs").rename(tmp_path / "runs")
    (out / "runs").symlink_to(tmp_path / "runs")
    assert not [path for path in paths_of(out) if path.endswith(".trec")]
    (out / "student").rename(tmp_path / "student")
    (out / "student").symlink_to(tmp_path / "student")
    with pytest.raises(InputError, match="link called student"):
        run_files(out, "me/small")


def test_the_places_a_student_came_from_are_cut(out):
    path = out / "student" / "config.json"
    settings = json.loads(path.read_text()) | {"_name_or_path": "/data/USER NAME/my base", "note": "of /home/a b/c d"}
    path.write_text(json.dumps(settings))
    (published,) = (file for file in run_files(out, "me/small") if file.path == "config.json")
    kept = json.loads(published.content)
    assert (kept.pop("_name_or_path"), kept.pop("note")) == ("my base", "of c d")
    assert kept.items() <= settings.items()


@pytest.mark.parametrize("content", ["[]", "null", "{}", "{", '{"teacher": 5}', "[5]", "\xff"])
@pytest.mark.parametrize("name", ["report.json", "student/modules.json"])
def test_files_that_are_damaged(out, name, content):
    (out / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=name.rpartition("/")[2]):
        run_files(out, "me/small")
