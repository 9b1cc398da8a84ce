from __future__ import annotations

import os
import subprocess
import sys

import pytest
from huggingface_hub import constants

from tests.hub.local_hub import LocalHub
from tests.report.sample_report import sample_report
from tests.training.toy_run import toy_trainer

TOKEN = "hf_secretSecretSecretSecret"


@pytest.fixture
def report():
    return sample_report()


@pytest.fixture
def hub(monkeypatch):
    """A Hub of its own for the test, with a token that it accepts."""
    hub = LocalHub()
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + template[template.index("/{repo") :])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield hub
    hub.close()


@pytest.fixture(scope="session")
def finished(tmp_path_factory, toy_collection):
    """Output folder and store of a finished toy run."""
    folder = tmp_path_factory.mktemp("published")
    toy_trainer(folder / "out", folder / "store", toy_collection).train()
    return folder


def run_python(hub, folder, *arguments, token=TOKEN):
    """A process that knows the Hub from its environment only, as a user's does."""
    changes = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(folder / "hf"),
        "HF_TOKEN": token,
        "ST_MTA_CACHE": str(folder / "cache"),
    }
    command, environment = [sys.executable, *map(str, arguments)], {**os.environ, **changes}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
