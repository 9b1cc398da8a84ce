from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import torch

import st_mta
from st_mta.report import build


def test_versions_are_those_of_what_is_installed(monkeypatch):
    """A finished run is reported also where FAISS is missing, or was installed under another name."""

    def version(name):
        if name == "faiss-cpu":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(build, "version", version)
    versions = build.installed_versions()
    assert "faiss-cpu" not in versions
    assert versions["torch"] == "1.0" and versions["python"].startswith("3.")


def test_a_source_tree_without_metadata_says_its_versions_itself(monkeypatch):
    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(build, "version", version)
    versions = build.installed_versions()
    assert versions["st-mta"] == st_mta.__version__ and versions["torch"] == torch.__version__
    assert "faiss-cpu" not in versions
