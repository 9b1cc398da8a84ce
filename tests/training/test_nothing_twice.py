"""A teacher may be paid by the pair: a whole run asks it for every pair once, and for none to take its speed."""

from __future__ import annotations

from collections import Counter

import pytest

from st_mta.errors import InputError
from st_mta.scorers import BM25, CrossEncoderScorer, FunctionScorer, PairScorer
from st_mta.stores import Store, fingerprint_model
from tests.tiny import tiny_cross_encoder
from tests.training.toy_run import killed, toy_trainer


class CountingScorer(PairScorer):
    """A re-ranker that remembers what it was asked."""

    kind, fingerprint = "service", "0" * 32

    def __init__(self, store):
        super().__init__("service", store)
        self.inner, self.asked = CrossEncoderScorer(tiny_cross_encoder(4), precision="fp32"), Counter()

    def predict(self, queries, passages):
        self.asked.update(zip(queries, passages))
        return self.inner.predict(queries, passages)


def test_every_pair_is_asked_for_once(toy_collection, tmp_path):
    store = Store(tmp_path / "store")
    teacher = CountingScorer(store)
    report = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, teacher=teacher, store=store).train()
    assert set(teacher.asked.values()) == {1}
    assert 0 < len(teacher.asked) <= report["compute"]["pairs_scored"]
    assert report["teacher"]["queries_per_second"] > 0


def test_a_run_that_resumes_keeps_the_speed_and_a_warm_store_has_none(toy_collection, tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    with killed(monkeypatch, "test"):
        toy_trainer(
            tmp_path / "out", tmp_path / "store", toy_collection, teacher=CountingScorer(store), store=store
        ).train()
    # Everything but the test split is in the store now, and that is scored by a process of its own.
    again = CountingScorer(Store(tmp_path / "store"))
    report = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, teacher=again).train(
        resume_from_checkpoint=True
    )
    assert report["teacher"]["queries_per_second"] > 0
    warm = CountingScorer(Store(tmp_path / "store"))
    other = toy_trainer(tmp_path / "other", tmp_path / "store", toy_collection, teacher=warm).train()
    assert not warm.asked and other["teacher"]["queries_per_second"] is None


def test_a_scorer_can_say_that_it_must_not_be_timed(toy_collection, tmp_path):
    teacher = CountingScorer(Store(tmp_path / "store"))
    teacher.timed = False
    report = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, teacher=teacher).train()
    assert report["teacher"]["queries_per_second"] is None


class Billed:
    """A service that fails at some of its calls, and then has not answered."""

    version = "1"

    def __init__(self, fails=None):
        self.fails, self.calls, self.asked = fails, 0, Counter()

    def __call__(self, queries, passages):
        self.calls += 1
        if self.calls == self.fails:
            raise ConnectionError("the network is gone")
        self.asked.update(zip(queries, passages))
        return [
            len({*query.split()} & {*passage.split()}) - 0.1 * len(passage)
            for query, passage in zip(queries, passages)
        ]


def test_a_service_is_asked_once_over_a_run_three_failures_and_a_repetition(toy_collection, tmp_path):
    options = {"assistants": [BM25()], "num_iterations": 1, "regression_epochs": 0.0}

    def run(folder, service, resume):
        teacher = FunctionScorer(service, "service", Store(tmp_path / "store"), part_size=64)
        trainer = toy_trainer(tmp_path / folder, tmp_path / "store", toy_collection, teacher=teacher, **options)
        report = trainer.train(resume_from_checkpoint=resume)
        return report["student"]["ndcg@10"], fingerprint_model(trainer.model)

    services = [Billed(fails) for fails in (1, 2, 3)]
    for service in services:
        with pytest.raises(InputError, match="ConnectionError"):
            run("out", service, service is not services[0])
    services += [Billed(), Billed()]
    resumed = run("out", services[3], True)
    assert run("repeated", services[4], False) == resumed and not services[4].asked
    asked = sum((service.asked for service in services), Counter())
    assert set(asked.values()) == {1} and all(service.asked for service in services[1:4])
