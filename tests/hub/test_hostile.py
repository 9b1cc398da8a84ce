"""What leaves when a run with secrets, private folders and hostile texts is published: every byte is searched."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from st_mta.cli.main import main
from tests.hub.hostile_run import COLLECTION_NAME, PRIVATE, SECRETS, command


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The home folder of somebody with a blank in the name, after a run."""
    home = tmp_path_factory.mktemp("homes") / "USER NAME"
    (home / "work").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        arrive(home, patch)
        assert main(command(home)) == 0
    return home


def arrive(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home))
    for name in ("HF_TOKEN", "WANDB_API_KEY"):
        monkeypatch.setenv(name, SECRETS[name])
    monkeypatch.chdir(home / "work")


@pytest.fixture
def published(home, hub, monkeypatch):
    """What the server of this test holds after `st-mta push`, by path."""
    arrive(home, monkeypatch)
    assert main(["push", "rel/out", "--repo", "me/small"]) == 0
    return hub.files("me/small")


def test_no_secret_and_no_path_in_any_uploaded_byte(home, published):
    assert len(published) > 15
    private = [*SECRETS.values(), *PRIVATE, str(home), str(home.parent), Path.cwd().as_posix()]
    for path, data in published.items():
        found = [text for text in private if text.encode() in data or text in path]
        assert not found, (path, found)
    kept = yaml.safe_load(published["distillation/config.yaml"])
    assert kept["training"]["save_steps"] == 2 and "hub_token" not in kept["training"]
    assert (kept["teacher"], kept["output_dir"], kept["store"]) == ("teacher", "out", "my store")
    assert "distillation/runs/teacher.trec" in published, "a name that begins with .. is no hidden file"
    assert "distillation/runs/late-interaction--my assistant.trec" in published


class Active(HTMLParser):
    """Collects what a browser would run or fetch."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attributes):
        if tag in ("script", "iframe", "object", "embed", "form", "base"):
            self.found.append(tag)
        for name, value in attributes:
            bad = name in ("href", "src", "xlink:href") and re.match("javascript:|http:evil|x$", value or "")
            if name.startswith("on") or bad:
                self.found.append(f"{tag} {name}={value}")


def active(html: str) -> list[str]:
    parser = Active()
    parser.feed(html)
    return parser.found


def rendered(data: bytes) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(ModelCard(data.decode()).text)


def test_nothing_hostile_is_active(published):
    pages = {"report.html": published["distillation/report.html"].decode()}
    pages["README.md"] = rendered(published["README.md"])
    pages["report.md"] = rendered(b"---\n{}\n---\n" + published["distillation/report.md"])
    for name, html in pages.items():
        assert not active(html), name
        assert "=1+1" in html and "onmouseover" in html, "the name is shown"
    card = ModelCard(published["README.md"].decode())
    assert card.data.eval_results[0].dataset_name == COLLECTION_NAME
    for path, data in published.items():
        if not path.endswith((".png", ".safetensors")):
            assert not re.search(b"[\x00-\x08\x0b-\x1f\x7f]|\xe2\x80\xae", data), path
