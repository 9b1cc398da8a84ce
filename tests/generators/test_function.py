"""A function of the user's that makes queries: no passage is sent twice, through errors and kills."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from st_mta.errors import InputError
from st_mta.generators import FunctionGenerator, load_generator
from st_mta.scorers import ScorerOptions
from st_mta.stores import Store, locks, queries
from st_mta.types import Texts

CORPUS = Texts([f"p{i}" for i in range(7)], ["one", "two words", "", "three small words", "two words", " ", "four"])


class Billed:
    """A service that counts what it answers, and fails at one of its calls."""

    version = "1"

    def __init__(self, fails: int | None = None, answer=None):
        self.fails, self.answer, self.calls, self.asked = fails, answer, 0, Counter()

    def __call__(self, passages):
        self.calls += 1
        if self.calls == self.fails:
            raise TimeoutError("no answer")
        self.asked.update(passages)
        return ask(passages) if self.answer is None else self.answer


def ask(passages):
    return [[f"what is {word}" for word in passage.split()] for passage in passages]


def test_nothing_is_sent_twice(tmp_path):
    asked = Counter()
    for fails in (1, 2):
        service = Billed(fails)
        generator = FunctionGenerator(service, store=Store(tmp_path), part_size=2)
        with pytest.raises(InputError, match="TimeoutError: no answer"):
            generator.queries(CORPUS, generator.available(CORPUS))
        asked += service.asked
    service = Billed()
    generator = FunctionGenerator(service, store=Store(tmp_path), part_size=2)
    made = generator.queries(CORPUS, generator.available(CORPUS))
    assert generator.available(CORPUS).tolist() == [0, 1, 3, 4, 6]
    assert made == ask([CORPUS.take([i])[0] for i in (0, 1, 3, 4, 6)])
    assert asked + service.asked == Counter(["one", "two words", "three small words", "four"])
    again = FunctionGenerator(Billed(fails=1), store=Store(tmp_path))
    assert again.queries(CORPUS, np.array([4, 0])) == ask(["two words", "one"])
    (stored,) = Store(tmp_path).contents()
    assert (stored.name, stored.kind, stored.fingerprint) == ("Billed", "generator", again.fingerprint)
    Store(tmp_path).clear(again.fingerprint)
    assert Store(tmp_path).queries.count(again.fingerprint) == 0


def test_of_two_at_a_time_one_waits_for_the_other(tmp_path, monkeypatch):
    """What the first has made is then in the store; each works as a process of its own would."""
    began, waits, goes_on, asked = threading.Event(), threading.Event(), threading.Event(), []

    def take(descriptor):
        if not (mine := locks.take(descriptor)):
            waits.set()
        return mine

    monkeypatch.setattr(queries, "take", take)

    def slow(passages):
        asked.append(len(passages))
        began.set()
        assert goes_on.wait(20)
        return ask(passages)

    slow.version = "1"
    made = []

    def work():
        made.append(FunctionGenerator(slow, store=Store(tmp_path)).queries(CORPUS, np.array([0, 1])))

    threads = [threading.Thread(target=work) for _ in range(2)]
    threads[0].start()
    assert began.wait(20)
    threads[1].start()
    assert waits.wait(20)
    goes_on.set()
    for thread in threads:
        thread.join(20)
    assert made == [ask(["one", "two words"])] * 2 and asked == [2]


@pytest.mark.parametrize("damage", ["cut", "other rows"])
def test_what_is_damaged_is_made_again(tmp_path, damage):
    generator = FunctionGenerator(Billed(), store=Store(tmp_path))
    generator.queries(CORPUS, np.array([0, 1]))
    (part,) = (tmp_path / "queries" / generator.fingerprint).glob("*.parquet")
    if damage == "cut":
        part.write_bytes(part.read_bytes()[:-3])
    else:
        table = pq.read_table(part)
        pq.write_table(table.set_column(1, "queries", pa.array([["other"]] * 2)), part)
    service = Billed()
    assert FunctionGenerator(service, store=Store(tmp_path)).queries(CORPUS, np.array([1])) == ask(["two words"])
    assert service.asked == Counter(["two words"])


def test_what_it_is_known_by(tmp_path):
    first, second = Billed(), Billed()
    second.version = "2"
    by_version = {FunctionGenerator(one, store=Store(tmp_path)).fingerprint for one in (first, second, Billed())}
    assert len(by_version) == 2
    by_source = {FunctionGenerator(one, store=Store(tmp_path)).fingerprint for one in (ask, lambda passages: [])}
    assert len(by_source) == 2


@pytest.mark.parametrize(
    "answer", [None, 3, [["a"]], [["a"], "b"], [["a"], [1]], {"a": []}], ids=lambda value: str(value)
)
def test_other_answers_are_refused(tmp_path, answer):
    service = Billed(answer=answer)
    if answer is None:
        service.answer = {}
    with pytest.raises(InputError, match="list"):
        FunctionGenerator(service, store=Store(tmp_path)).queries(CORPUS, np.array([0, 1]))


@pytest.mark.parametrize("wrong", [["half \ud83d"], [1], "text", None], ids=["half", "number", "text", "none"])
def test_queries_beside_what_cannot_be_stored_are_kept(tmp_path, wrong):
    service = Billed(answer=[["a"], wrong, ["b", "c"]])
    generator = FunctionGenerator(service, store=Store(tmp_path))
    with pytest.raises(InputError, match="for passage 'p1' .those of other passages are stored"):
        generator.queries(CORPUS, np.array([3, 1, 0]))
    again = Billed()
    made = FunctionGenerator(again, store=Store(tmp_path)).queries(CORPUS, np.array([3, 1, 0]))
    assert made == [["a"], *ask(["two words"]), ["b", "c"]] and again.asked == Counter(["two words"])


def test_names(tmp_path, monkeypatch):
    (tmp_path / "my_queries.py").write_text("def ask(passages):\n    return [[p] for p in passages]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    options = ScorerOptions(Store(tmp_path / "store"))
    generator = load_generator("my_queries:ask", options=options)
    assert generator.name == "my_queries:ask" or generator.name == "ask"
    assert generator.queries(CORPUS, np.array([0])) == [["one"]] and load_generator(generator) is generator
    with pytest.raises(InputError, match="no 'other'"):
        load_generator("my_queries:other", options=options)
    with pytest.raises(InputError, match="would be ignored"):
        load_generator(ask, generation={"beams": 3}, options=options)
    with pytest.raises(InputError, match="passages"):
        load_generator(lambda: [], options=options)
