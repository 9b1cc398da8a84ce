"""Publishing a finished run, against a server on this machine."""

from __future__ import annotations

import io
import json
import logging
import shutil
import socket

import pytest
import yaml
from huggingface_hub import ModelCard, constants
from sentence_transformers import SentenceTransformer

from st_mta.cli.main import main
from st_mta.errors import InputError
from st_mta.hub.files import run_files
from st_mta.hub.results import MEASURES
from st_mta.hub.upload import push_run
from st_mta.report.build import _known_dataset
from tests.hub.conftest import TOKEN, run_python
from tests.training.toy_run import toy_trainer


@pytest.fixture
def out(finished, tmp_path):
    """The run's folder, with the options beside it as the command writes them."""
    shutil.copytree(finished / "out", tmp_path / "here" / "out")
    folder = str(tmp_path / "here" / "out")
    options = {"teacher": "/home/somebody/teachers/T", "output_dir": folder, "store": "~/store"}
    (tmp_path / "here" / "out" / "config.yaml").write_text(yaml.safe_dump(options))
    return tmp_path / "here" / "out"


def content(file):
    return file.content if isinstance(file.content, bytes) else file.content.read_bytes()


def refused(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "Traceback" not in captured.err
    assert TOKEN not in captured.out + captured.err
    return captured.err


def test_no_secret_of_the_options_is_published(out):
    secret = "hf_" + "abcDEF123" * 3
    for training in ({"hub_token": secret, "warmup_steps": 3}, json.dumps({"hub_token": secret, "warmup_steps": 3})):
        options = {"teacher": "T", "training": training, "seed": 3, "api_key": "k1", "comment": f"with {secret}"}
        (out / "config.yaml").write_text(yaml.safe_dump(options))
        published = next(file for file in run_files(out, "me/small") if file.path == "distillation/config.yaml")
        assert secret.encode() not in content(published) and b"k1" not in content(published)
        assert b"warmup_steps" in content(published) and yaml.safe_load(content(published))["seed"] == 3


def test_the_hosts_training_arguments_are_not_published(out):
    """`trainer.save_model` writes them, a token among them, beside the student."""
    for name in ("training_args.bin", "optimizer.pt"):
        (out / "student" / name).write_bytes(b"hf_secret")
    assert not [file.path for file in run_files(out, "me/small") if file.path.endswith((".bin", ".pt"))]


def test_student_card_and_evidence_are_published(out):
    paths = {file.path for file in run_files(out, "me/small")}
    assert {
        "README.md",
        "model.safetensors",
        "modules.json",
        "1_Pooling/config.json",
        "distillation/report.json",
        "distillation/report.md",
        "distillation/config.yaml",
        "distillation/plots/quality.png",
        "distillation/runs/student.trec",
    } <= paths
    assert not [path for path in paths if "iteration" in path or "state" in path or "embeddings" in path]
    (out / "report.html").write_text("<p>page</p>")
    assert "distillation/report.html" in {file.path for file in run_files(out, "me/small")}


def test_the_report_of_a_run_tells_where_data_and_models_come_from(finished):
    report = json.loads((finished / "out" / "report.json").read_text())
    assert {"licence": None, "hub_id": None}.items() <= report["collection"].items()
    assert {"revision": None, "hub_id": None}.items() <= report["teacher"].items()
    assert _known_dataset("scifact") == "mteb/scifact" and _known_dataset("toy") is None


def test_a_dry_run_lists_the_files_and_needs_neither_network_nor_token(out, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked the network"))
    assert main(["push", str(out), "--repo", "me/small", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    files = run_files(out, "me/small")
    assert all(file.path in printed for file in files) and f"{len(files)} files" in printed
    assert "Would be published in me/small" in printed


def test_a_push_uploads_exactly_what_is_listed(out, hub, capsys):
    assert main(["push", str(out), "--repo", "me/small", "--private"]) == 0
    expected = {file.path: content(file) for file in run_files(out, "me/small")}
    assert hub.files("me/small") == expected
    assert [file.size for file in run_files(out, "me/small")] == [len(expected[path]) for path in sorted(expected)]
    assert hub.files("me/small")["model.safetensors"] == (out / "student" / "model.safetensors").read_bytes()
    assert hub.created[0]["visibility"] == "private" and len(hub.commits) == 1
    assert hub.endpoint in capsys.readouterr().out
    assert hub.tokens == {TOKEN}


def test_the_token_is_printed_and_written_nowhere(out, hub, tmp_path, capsys, caplog):
    with caplog.at_level(logging.DEBUG):
        assert main(["push", str(out), "--repo", "me/small"]) == 0
    captured = capsys.readouterr()
    assert TOKEN not in captured.out + captured.err + caplog.text
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert not [path for path, data in hub.files("me/small").items() if TOKEN.encode() in data]


def test_no_path_of_this_machine_is_published(finished, out, hub, tmp_path):
    places = [str(place).encode() for place in (finished, tmp_path, "/home", "somebody")]
    report = json.loads((out / "report.json").read_text())
    report["teacher"]["name"] = "/home/somebody/teachers/T"
    (out / "report.json").write_text(json.dumps(report))
    (out / "runs" / "T.trec").rename(out / "runs" / "--home--somebody--teachers--T.trec")
    push_run(out, "me/small")
    published = hub.files("me/small")
    for path, data in published.items():
        assert not [place for place in places if place in data], path
    assert "distillation/runs/T.trec" in published
    assert yaml.safe_load(published["distillation/config.yaml"]) == {
        "teacher": "T",
        "output_dir": "out",
        "store": "store",
    }
    assert json.loads(published["distillation/report.json"])["teacher"]["name"] == "T"
    assert b'SentenceTransformer("me/small")' in published["distillation/report.md"]


def test_paths_with_blanks_and_relative_ones_stay_private(out):
    """Names, file names, tags and the card: a local assistant with a blank in its path, and a relative teacher."""
    name = "late-interaction:/home/USER NAME/some project/my model"
    report = json.loads((out / "report.json").read_text())
    report["assistants"][0]["name"] = name
    report["teacher"]["name"] = "../up/teacher"
    (out / "report.json").write_text(json.dumps(report))
    written = name.replace("/", "--").replace(":", "--")
    (out / "runs" / f"{written}.trec").write_text(f"q0 Q0 p0 1 1.0 {'_'.join(name.split())}\n")
    options = {"teacher": "../up/teacher", "output_dir": "rel/dir/out", "assistants": ["late-interaction:org/m", name]}
    (out / "config.yaml").write_text(yaml.safe_dump(options))
    card = (out / "student" / "README.md").read_text()
    (out / "student" / "README.md").write_text(f"{card}\nWritten to rel/dir/out by {name}.\n")
    published = {file.path: content(file) for file in run_files(out, "me/small")}
    for path, data in published.items():
        for private in (b"USER", b"some project", b"some_project", b"rel/dir", b"../up"):
            assert private not in data and private not in path.encode(), path
    assert published["distillation/runs/late-interaction--my model.trec"].endswith(b" late-interaction:my_model\n")
    assert yaml.safe_load(published["distillation/config.yaml"])["assistants"] == [
        "late-interaction:org/m", "late-interaction:my model",
    ]  # fmt: skip


def test_a_model_named_relative_to_the_working_folder_stays_private(out, tmp_path, monkeypatch):
    (tmp_path / "models" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (out / "config.yaml").write_text(yaml.safe_dump({"teacher": "models/mine", "student": "org/model"}))
    published = next(file for file in run_files(out, "me/small") if file.path == "distillation/config.yaml")
    assert yaml.safe_load(content(published)) == {"teacher": "mine", "student": "org/model"}


def test_half_written_files_are_not_published(out):
    (out / "plots" / ".quality.png-1234.tmp").write_bytes(b"\xff" * 9)
    (out / "runs" / ".student.trec").write_bytes(b"\xff")
    (out / "student" / ".model.safetensors-1.tmp").write_bytes(b"")
    assert not [file.path for file in run_files(out, "me/small") if "/." in f"/{file.path}"]


def leaves(value):
    """The texts and numbers in a configuration, however deep."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [value] if inner is None else [leaf for one in inner for leaf in leaves(one)]


def test_the_card_tells_the_loss_that_trained(finished, out):
    """Not one built anew: the report keeps the loss of the training that was kept, and the card shows it."""
    report = json.loads((out / "report.json").read_text())
    expected = "EmbedDistillLoss" if report["kept"] == "warm-up" else "ListwiseKLLoss"
    assert report["loss"]["class"].endswith(expected) and expected in report["loss"]["citations"]
    card = next(file for file in run_files(out, "me/small") if file.path == "README.md")
    assert all(json.dumps(value).encode() in content(card) for value in leaves(report["loss"]["config"]))


def test_the_published_card_loads_the_student_by_its_name(out, hub):
    push_run(out, "me/small")
    card = ModelCard(hub.files("me/small")["README.md"].decode())
    assert 'SentenceTransformer("me/small")' in card.text
    report = json.loads((out / "report.json").read_text())
    assert [result.metric_value for result in card.data.eval_results] == [report["student"][name] for name in MEASURES]
    card.validate()
    with pytest.raises(ValueError, match="metadata"):
        ModelCard("---\n- a\n---\n", ignore_metadata_errors=True).validate()


def test_a_lost_connection_is_explained_and_the_push_can_be_repeated(out, hub, capsys):
    hub.drop_commits = 1
    assert "nothing was" in refused(capsys, "push", out, "--repo", "me/small")
    assert hub.files("me/small") == {}
    sent = hub.puts
    assert main(["push", str(out), "--repo", "me/small"]) == 0
    assert hub.files("me/small").keys() == {file.path for file in run_files(out, "me/small")}
    assert hub.puts == sent > 0  # Large files that had arrived are not sent twice.


def test_an_existing_card_stays_unless_it_is_to_be_replaced(out, hub):
    push_run(out, "me/small")
    hub.files("me/small")["README.md"] = b"mine"
    push_run(out, "me/small")
    assert hub.files("me/small")["README.md"] == b"mine"
    push_run(out, "me/small", replace_card=True)
    assert b"Distillation Lineage" in hub.files("me/small")["README.md"]


def test_branches_and_pull_requests(out, hub):
    push_run(out, "me/small", revision="v2", message="Second")
    assert (hub.commits[0]["revision"], hub.commits[0]["summary"]) == ("v2", "Second")
    assert "POST /api/models/me/small/branch/v2" in hub.requests
    assert push_run(out, "me/small", create_pr=True).endswith("/discussions/1")
    with pytest.raises(InputError, match="409"):
        push_run(out, "me/small", exist_ok=False)


@pytest.mark.parametrize(("status", "message"), [(401, "token that the Hub knows"), (403, "may write to me/small")])
def test_a_token_that_is_refused(out, hub, capsys, status, message):
    hub.refuse = status
    assert message in refused(capsys, "push", out, "--repo", "me/small")


def test_a_server_that_is_broken(out, hub, capsys, monkeypatch):
    hub.refuse = 418
    assert "418" in refused(capsys, "push", out, "--repo", "me/small")


def test_no_token_no_network_and_offline_mode(out, hub, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refused(capsys, "push", out, "--repo", "me/small")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.close()
    assert "connection to the Hub" in refused(capsys, "push", out, "--repo", "me/small")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    assert "hf auth login" in refused(capsys, "push", out, "--repo", "me/small")


@pytest.mark.parametrize("repo_id", ["small", "me/a/b", "me/-small", "me/sm all", "me/"])
def test_ids_that_the_hub_does_not_take(out, capsys, repo_id):
    assert "owner/name" in refused(capsys, "push", out, "--repo", repo_id, "--dry-run")


@pytest.mark.parametrize("missing", ["report.json", "student"])
def test_an_unfinished_run(out, capsys, missing):
    shutil.rmtree(out / missing) if (out / missing).is_dir() else (out / missing).unlink()
    assert "finished run" in refused(capsys, "push", out, "--repo", "me/small", "--dry-run")
    assert "finished run" in refused(capsys, "push", out / "nowhere", "--repo", "me/small", "--dry-run")


def test_the_trainer_pushes_the_same(finished, toy_collection, hub):
    trainer = toy_trainer(finished / "out", finished / "store", toy_collection)
    address = trainer.push_to_hub("me/small", token="hf_other", private=True, commit_message="From Python")
    assert address.startswith(hub.endpoint) and hub.tokens == {"hf_other"}
    assert hub.files("me/small") == {f.path: content(f) for f in run_files(finished / "out", "me/small")}
    assert hub.commits[0]["summary"] == "From Python"
    pull_request = trainer.push_to_hub("me/small", token="hf_other", exist_ok=True, revision=None, create_pr=True)
    assert pull_request != address
    with pytest.raises(TypeError, match="commit_mesage"):
        trainer.push_to_hub("me/small", token="hf_other", commit_mesage="misspelt")


LOAD = """
import sys
import numpy as np
from sentence_transformers import SentenceTransformer
student = SentenceTransformer("me/small", device="cpu")
np.save(sys.argv[1], student.encode(["cat and dog", "river"]))
"""


def test_a_student_pushed_and_loaded_again_gives_the_same_embeddings(out, hub, tmp_path):
    """Both in processes that know nothing but the Hub's address; the loading one trusts no remote code."""
    import numpy as np

    pushed = run_python(hub, tmp_path, "-m", "st_mta", "push", out, "--repo", "me/small")
    assert pushed.returncode == 0, pushed.stderr
    assert TOKEN not in pushed.stdout + pushed.stderr
    loaded = run_python(hub, tmp_path, "-c", LOAD, tmp_path / "embeddings.npy")
    assert loaded.returncode == 0, loaded.stderr
    assert any("/me/small/resolve/" in request for request in hub.requests)
    here = SentenceTransformer(str(out / "student"), device="cpu").encode(["cat and dog", "river"])
    buffer = io.BytesIO((tmp_path / "embeddings.npy").read_bytes())
    np.testing.assert_array_equal(np.load(buffer), here)
