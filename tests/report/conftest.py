from __future__ import annotations

import pytest

from tests.report.sample_report import sample_report


@pytest.fixture
def report():
    return sample_report()
