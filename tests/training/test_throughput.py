from __future__ import annotations

from types import SimpleNamespace

import pytest

from st_mta.scorers import BM25
from st_mta.training import throughput
from st_mta.training.throughput import queries_per_second


@pytest.fixture
def by_hand(monkeypatch):
    """A clock that only moves when a system answers, by what the system takes per query."""
    now, said = [0.0], []
    pace = {"fast": [0.001] * throughput.ROUNDS, "slow": [0.01, 0.008, *[0.02] * (throughput.ROUNDS - 2)]}
    monkeypatch.setattr(throughput, "SECONDS_PER_ROUND", 0.5)
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: now[0])

    def way(scorer, collection, depth):
        if scorer.name == "stored":
            return None

        def answer(queries):
            name = scorer.name
            if len(said) == 2 or said[-1:] != [name]:
                said.append(name)
            turn = max(0, said.count(name) - 2)  # the first answer warms up
            now[0] += len(queries) * pace[name][min(turn, throughput.ROUNDS - 1)]

        return throughput._Way(answer, 10)

    monkeypatch.setattr(throughput, "_way", way)
    return said


def test_systems_take_turns_and_the_best_round_counts(by_hand, toy_collection):
    scorers = [SimpleNamespace(name=name) for name in ("fast", "stored", "slow")]
    rates = queries_per_second(scorers, toy_collection, 10)
    assert rates == {"fast": pytest.approx(1000), "stored": None, "slow": pytest.approx(125)}
    assert by_hand == ["fast", "slow"] * (1 + throughput.ROUNDS)


def test_bm25_answers(toy_collection):
    assert queries_per_second([BM25()], toy_collection, 10)["bm25"] > 0
