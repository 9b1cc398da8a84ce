"""The comparison of speed: the order of what is run, what the ratios are to, and that both sides do the same work."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import groupby

import numpy as np
import pytest
import torch

from benchmarks import environment, memory
from benchmarks.speed import processes, stations
from benchmarks.speed.configuration import MEMORY_OF, OURS, SIDES, STATIONS, STOCK, TIMES, all_configurations
from benchmarks.speed.material import NUM_CANDIDATES, Material
from benchmarks.speed.ours import Ours
from benchmarks.speed.page import headline, page
from benchmarks.speed.plots import plot_ratios
from benchmarks.speed.stock import Stock
from benchmarks.speed.summary import summary
from st_mta.mining import mine
from st_mta.scored import ScoredCandidates
from st_mta.scorers import BiEncoderScorer
from tests.tiny import saved, tiny_cross_encoder, tiny_sentence_transformer

CHOSEN = list(all_configurations(queries=64, seeds=3, threads=[1, 2], precisions=["fp32", "bf16"]))
WHERE = {"device": "a CPU", "cores": 2, "instructions": ["avx2"], "commit": "abc"}


def test_sides_alternate_and_rounds_take_turns():
    timed = [each for each in CHOSEN if each.measure == TIMES]
    assert len({each.name for each in CHOSEN}) == len(CHOSEN) == 3 * 2 * 4 + 2 * 4
    for _, group in groupby(timed, key=lambda each: (each.seed, each.threads)):
        assert [each.side for each in group] in ([STOCK, OURS] * 2, [OURS, STOCK] * 2)
    first, second, third = ([replace(each, seed=0) for each in timed if each.seed == seed] for seed in range(3))
    assert first == third != second
    assert [each.threads for each in CHOSEN if each.measure in MEMORY_OF] == [2] * 8
    assert CHOSEN[0].environment["OMP_NUM_THREADS"] == "1" == CHOSEN[0].environment["RAYON_NUM_THREADS"]


SECONDS = {("stock", "fp32"): 8.0, ("stock", "bf16"): 4.0, ("st_mta", "fp32"): 3.0, ("st_mta", "bf16"): 1.0}


def measured(each):
    """The seconds of [`SECONDS`], in one round twice as many; the stock pipeline scores slower in bf16."""
    if each.measure != TIMES:
        return {"before": 100, "peak": 400 if each.side == STOCK else 300}
    wall = SECONDS[each.side, each.precision] * (2 if each.seed == 1 else 1)
    seconds = {station: {"wall": wall, "cpu": each.threads * wall} for station in STATIONS}
    if (each.side, each.precision) == (STOCK, "bf16"):
        seconds["score"] = {"wall": 10.0, "cpu": 10.0}
    return {"seconds": seconds, "ndcg@10": 0.5 + each.seed / 10, "computed_in": {"score": [each.precision]}}


@pytest.fixture
def entries():
    return [{"configuration": asdict(each), "environment": WHERE, "measured": measured(each)} for each in CHOSEN]


def test_ratios_are_to_the_quicker_precision_of_each_station(entries):
    result = summary(entries)
    two = result["threads"]["2"]
    assert two["stock_in_best_precision"] == {**dict.fromkeys(STATIONS, "bf16"), "score": "fp32"}
    assert two["ratio"]["bf16"]["train"] == {"wall": 0.25, "cpu": 0.25}
    assert two["ratio"]["bf16"]["score"] == {"wall": 0.125, "cpu": 0.125}
    assert two["ratio"]["fp32"]["train"]["wall"] == 0.75
    assert two["ratio_in_same_precision"]["fp32"]["train"]["wall"] == 0.375
    # Mining, scoring, training and evaluating; encoding is no station of its own in an iteration.
    assert two["ratio"]["bf16"]["iteration"]["wall"] == 4 * 1.0 / (3 * 4.0 + 8.0)
    assert two["seconds"]["stock"]["bf16"]["iteration"] == {"wall": 3 * 4.0 + 10.0, "cpu": 2 * 3 * 4.0 + 10.0}
    assert result["ndcg@10"]["stock"]["fp32"] == [0.5, 0.6, 0.7]
    assert result["memory"]["train"]["ratio_in_same_precision"] == {"fp32": 0.75, "bf16": 0.75}


def test_the_result_is_shown(entries, tmp_path):
    result = summary(entries) | {"environment": WHERE}
    shown = page(result)
    assert "| train | 8.0 (16.0) | 4.0 (8.0) | 3.0 (6.0) | 1.0 (2.0) | 0.750 (0.750) | 0.45 | 0.250 (0.250) |" in shown
    assert "st_mta bf16, 2 thread(s): mine 0.25, score 0.12" in headline(result)
    plot_ratios(result, tmp_path / "ratios.png")
    assert (tmp_path / "ratios.png").stat().st_size > 10_000


def test_what_is_done_is_not_measured_again(tmp_path, monkeypatch):
    ran = []

    def run(each, material):
        if len(ran) == 3:
            raise KeyboardInterrupt
        ran.append(each)
        return measured(each)

    monkeypatch.setattr(processes, "make_material", lambda folder, queries: None)
    monkeypatch.setattr(processes, "_run", run)
    with pytest.raises(KeyboardInterrupt):
        processes.entries(CHOSEN, tmp_path, WHERE)
    done, ran = ran, []
    found = processes.entries(CHOSEN[:5], tmp_path, WHERE)
    assert done + ran == CHOSEN[:5]
    assert [entry["configuration"] for entry in found] == [asdict(each) for each in CHOSEN[:5]]
    assert [entry["measured"] for entry in found] == [measured(each) for each in CHOSEN[:5]]
    ran = []
    processes.entries(CHOSEN[:1], tmp_path, WHERE | {"commit": "def"})
    processes.entries([replace(CHOSEN[1], queries=65)], tmp_path, WHERE)
    assert [each.queries for each in ran] == [64, 65]


@pytest.fixture(scope="module")
def material(toy_collection, tmp_path_factory):
    folder = tmp_path_factory.mktemp("speed")
    bi_encoder = tiny_sentence_transformer()
    retriever = saved(bi_encoder, folder / "retriever")
    teacher = saved(tiny_cross_encoder(), folder / "teacher")
    scorer = BiEncoderScorer(bi_encoder)
    queries = toy_collection.queries_of("train")
    lists = mine(toy_collection, queries, [scorer], toy_collection.qrels["train"], num_candidates=NUM_CANDIDATES)
    scores = np.random.default_rng(0).normal(size=(1, len(lists.passages))).astype(np.float32)
    return Material(toy_collection, queries, ScoredCandidates(lists, scores), retriever, teacher, retriever)


@pytest.fixture
def sides(material, tmp_path):
    return {name: stations.SIDE_OF[name](material, "fp32", tmp_path / name) for name in SIDES}


def test_both_sides_score_encode_and_evaluate_alike(material, sides):
    stock, ours = sides[STOCK], sides[OURS]
    assert np.allclose(stock.score(material.scored), ours.score(material.scored), atol=1e-4)
    assert np.allclose(stock.encode(material.texts), ours.encode(material.texts), atol=1e-5)
    theirs, (_, measures) = (side.evaluate(side.frozen(material.student)) for side in (stock, ours))
    assert theirs["cosine_ndcg@10"] == pytest.approx(measures["ndcg@10"])
    assert len(stock.mine()) == len(ours.mine()) == len(material.queries)


def test_both_sides_train_the_same(material, sides, monkeypatch):
    """One step over all lists, so that no order matters; AdamW's first step follows the signs of the gradients."""
    for module in (Stock, Ours):
        monkeypatch.setattr(f"{module.__module__}.BATCH_SIZE", len(material.scored))
    before = tiny_sentence_transformer()
    steps = []
    for side in sides.values():
        student = tiny_sentence_transformer()
        side.train(material.scored, student, seed=3)
        pairs = zip(student.parameters(), before.parameters())
        steps.append(torch.cat([(after.detach().cpu() - old.detach()).flatten() for after, old in pairs]))
    assert steps[0].abs().max() > 5e-5
    assert torch.nn.functional.cosine_similarity(*steps, dim=0) > 0.99


@pytest.mark.parametrize("name", SIDES)
def test_bf16_is_what_is_computed_in(material, tmp_path, name):
    side = stations.SIDE_OF[name](material, "bf16", tmp_path)
    assert stations._warm_up(side, material) == dict.fromkeys(("score", "encode", "train"), ["bf16"])


def test_times_and_memory_of_a_configuration(material, tmp_path):
    found = stations.times(Ours(material, "fp32", tmp_path / "work"), material, CHOSEN[0], tmp_path)
    assert list(found["seconds"]) == list(STATIONS) and 0 < found["ndcg@10"] <= 1
    assert found["computed_in"] == dict.fromkeys(("score", "encode", "train"), ["fp32"])
    assert all(seconds["wall"] > 0 and seconds["cpu"] > 0 for seconds in found["seconds"].values())
    configuration = replace(CHOSEN[0], measure="score")
    taken = stations.memory(Ours(material, "fp32", tmp_path / "score"), material, configuration, tmp_path)
    assert taken["peak"] > 0.9 * taken["before"] > 0  # the kernel counts roughly


def test_memory_is_that_of_this_process():
    if torch.cuda.is_available():
        pytest.skip("on a GPU what torch has allocated there is counted")
    before, size = memory.memory_now(), 2**27
    held = np.ones(size, dtype=np.uint8)
    assert memory.memory_now() - before > 0.9 * size
    del held
    assert memory.memory_peak() - before > 0.9 * size


def test_the_peak_begins_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(memory, "PROCESS", tmp_path)  # whether the system takes it is the machine's affair
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t    300 kB\nVmRSS:\t    200 kB\n")
    (tmp_path / "clear_refs").touch()
    assert (memory.memory_peak(), memory.memory_now()) == (300 * 1024, 200 * 1024)
    memory.forget_peak()
    assert (tmp_path / "clear_refs").read_text() == "5"  # "reset the peak", proc(5)
    (tmp_path / "clear_refs").unlink()
    (tmp_path / "clear_refs").mkdir()
    memory.forget_peak()  # refused, which is no error


def test_the_instructions_of_the_processor(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text("model name\t: A CPU\nflags\t\t: fpu amx_bf16 avx2 avx512_bf16 sse\n\nflags : x")
    monkeypatch.setattr(environment, "CPUINFO", tmp_path / "cpuinfo")
    assert environment.processor() == "A CPU"
    assert environment.instructions() == ["avx2", "avx512_bf16", "amx_bf16"]
    monkeypatch.setattr(environment, "CPUINFO", tmp_path / "none")
    assert environment.instructions() == []
