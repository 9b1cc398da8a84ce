"""One evaluation for all processes, with earlier versions of the host too, and what several of them cannot train."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.util import distributed as host

from st_mta.errors import InputError
from st_mta.training import several
from st_mta.training.several import LedEvaluator, evaluated_once, refuse_other_dealing, refuse_router
from tests.tiny import tiny_sentence_transformer
from tests.training.student_kinds import two_towers


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


def arguments(world_size, **dealing):
    """Of a training by several processes, so far as the checks read them."""
    config = SimpleNamespace(**{"split_batches": False, "dispatch_batches": None, **dealing})
    return SimpleNamespace(world_size=world_size, accelerator_config=config, router_mapping=None)


@pytest.mark.parametrize("dealing", [{"split_batches": True}, {"dispatch_batches": True}])
def test_batches_that_accelerate_would_cut_are_refused(dealing):
    refuse_other_dealing(arguments(1, **dealing))
    refuse_other_dealing(arguments(2))
    with pytest.raises(InputError, match="leave both out"):
        refuse_other_dealing(arguments(2, **dealing))


def test_a_router_is_trained_by_one_process():
    student = two_towers()
    refuse_router(student, arguments(1))
    refuse_router(tiny_sentence_transformer(1), arguments(2))
    with pytest.raises(InputError, match="one with a Router"):
        refuse_router(student, arguments(2))
