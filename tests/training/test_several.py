"""An evaluation that every process would run for itself, with earlier versions of the host, is run once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.util import distributed as host

from st_mta.training import several
from st_mta.training.several import LedEvaluator, evaluated_once


class Fixed(BaseEvaluator):
    """Always the same value."""

    def __init__(self, value):
        super().__init__()
        self.value, self.primary_metric, self.greater_is_better = value, "value", False

    def __call__(self, model, output_path=None, epoch=-1, steps=-1):
        return {"value": self.value}


@pytest.fixture
def second_of_two(monkeypatch):
    monkeypatch.delattr(host, "distributed_evaluation", raising=False)
    led = SimpleNamespace(size=2, on_leader=lambda work: {"value": 7.0})
    monkeypatch.setattr(several, "processes", lambda: led)


@pytest.mark.parametrize("several_of_them", [False, True], ids=["one", "list"])
def test_another_process_has_the_values_of_rank_0(second_of_two, several_of_them):
    found = evaluated_once([Fixed(1.0), Fixed(2.0)] if several_of_them else Fixed(1.0))
    assert isinstance(found, LedEvaluator) and found(None, steps=3) == {"value": 7.0}
    if not several_of_them:
        assert (found.primary_metric, found.greater_is_better) == ("value", False)


def test_nothing_is_wrapped_where_nothing_is_evaluated_or_there_is_one_process(second_of_two, monkeypatch):
    assert evaluated_once(None) is None
    monkeypatch.undo()
    alone = Fixed(1.0)
    assert evaluated_once(alone) is alone
