"""Every argument that changes the student is part of a run's configuration."""

from __future__ import annotations

from st_mta.run.identity import METHOD
from st_mta.training.arguments import MultiAssistantTrainingArguments

LOGGING_AND_SAVING = {"logging_steps", "save_steps", "save_total_limit", "report_to"}


def test_no_own_argument_is_forgotten():
    own = set(vars(MultiAssistantTrainingArguments)["__annotations__"]) - LOGGING_AND_SAVING
    assert own <= set(METHOD)
    assert len(METHOD) == len(set(METHOD))
