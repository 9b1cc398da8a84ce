from __future__ import annotations

import pytest

from tests.report.sample_evidence import full_report, sample_collection


@pytest.fixture
def report():
    return full_report()


@pytest.fixture
def texts():
    return sample_collection()
