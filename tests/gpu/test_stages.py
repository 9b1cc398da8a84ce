"""Every stage runs in toy sizes on the CPU, and finds what is so."""

from __future__ import annotations

import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.faults.processes import Finished
from benchmarks.gpu import (
    assistants,
    busy,
    correctness,
    launcher,
    profile,
    resume,
    search,
    stations,
    throughput,
    versions,
)
from benchmarks.gpu.comparing import compared
from benchmarks.gpu.gradients import Gradients
from benchmarks.gpu.trainings import packing
from benchmarks.speed.ours import Ours
from benchmarks.speed.stock import Stock
from st_mta.backbones import can_pack
from tests.tiny import tiny_sentence_transformer


def found_by(module, bench):
    module.run(bench)
    assert bench.record.content["errors"] == {}
    return bench.record.content["found"]


def test_versions(bench):
    found = found_by(versions, bench("versions"))
    assert [row["what"] for row in found["peaks"]][:3] == ["product in fp32", "product in tf32", "product in bf16"]
    assert len(found["peaks"]) == 6 and found["versions"]["torch"]


def test_scorers_search_and_packed_rows_are_compared(bench, monkeypatch):
    monkeypatch.setattr(correctness, "compare_losses", lambda bench: None)
    found = found_by(correctness, bench("correctness"))
    assert {row["what"] for row in found["scorers"]} == {"embeddings", "logits", "late interaction", "sparse"}
    assert all(row["relative"] == 0 for row in found["scorers"] if row["precision"] == "fp32")
    assert all(row["relative"] > 0 for row in found["scorers"] if row["precision"] == "bf16")
    assert [row["within"] for row in found["search"]] == [True, True]
    assert [row["precision"] for row in found["packed"]] == ["fp32", "bf16"] and found["all within tolerance"]


def test_losses_are_compared(bench, monkeypatch):
    chosen = "kl", "embed-distill", "hidden-state-mse", "cached filtered contrastive"
    every = list(Gradients.losses(SimpleNamespace(_by_word=Gradients._by_word)))
    monkeypatch.setattr(
        Gradients, "losses", lambda self, all=Gradients.losses: (one for one in all(self) if one[0] in chosen)
    )
    made = bench("correctness")
    correctness.compare_losses(made)
    rows = made.record.content["found"]["losses"]
    assert made.record.content["errors"] == {} and [row["loss"] for row in rows[::2]] == list(chosen)
    assert all(row["within"] and row["value"] > 0 for row in rows) and len(every) > 12
    assert all((row["gradient"] > 0) == (row["precision"] == "bf16") for row in rows)


def test_a_difference_that_rounding_does_not_explain_is_not_within():
    row = compared("embeddings", "fp32", [1.0, 2.0], [1.0, 2.1])
    assert row["relative"] == pytest.approx(0.1 / np.hypot(1, 2.1)) and row["largest"] == pytest.approx(0.1)
    assert not row["within"] and compared("embeddings", "bf16", [1.0, 2.0], [1.0, 2.001])["within"]
    assert not compared("embeddings", "bf16", [np.nan], [1.0])["within"]
    assert not compared("embeddings", "bf16", [1.0], [1.0, 2.0])["within"]


def test_rows_are_packed_or_padded_as_asked():
    model = tiny_sentence_transformer()
    for packed in (True, False):
        with packing(torch.device("cpu"), packed):
            assert can_pack(model) == packed


def test_stations(bench, monkeypatch):
    made = bench("stations")
    made.precisions = ("fp32",)
    trained = []
    for side in (Stock, Ours):
        monkeypatch.setattr(side, "train", lambda self, scored, *_: trained.append((self.batch_size, len(scored))))
    found = found_by(stations, made)
    assert trained == 2 * [(8, 8), (8, 24)]
    assert [(row["station"], row["side"]) for row in found["stations"]] == [
        (station, side) for side in ("stock", "st_mta") for station in stations.STATIONS
    ]
    assert all(row["per_second"] > 0 for row in found["stations"])
    assert [row["station"] for row in found["times quicker"]] == list(stations.STATIONS)


def test_profile(bench):
    (row,) = found_by(profile, bench("profile"))["steps"]
    assert row["milliseconds"] > 0 and row["busy_share"] is None and row["assistants"] == 3


def test_what_a_profiler_saw_is_counted():
    def event(name, start, end, device="CUDA"):
        span = SimpleNamespace(start=start, end=end)
        return SimpleNamespace(name=name, time_range=span, device_type=SimpleNamespace(name=device))

    events = [
        event("kernel", 0, 10), event("kernel", 5, 20), event("kernel", 30, 40), event("Memcpy HtoD", 40, 90),
        event("cudaStreamSynchronize", 0, 5, "CPU"), event("cudaLaunchKernel", 0, 5, "CPU"),
    ]  # fmt: skip
    seen = busy.busy(events, 60e-6, on_gpu=True)
    assert (seen.computing, seen.share) == (pytest.approx(30e-6), 0.5)
    assert (seen.kernels, seen.waits, seen.copies) == (3, 1, 1)
    assert busy.busy(events, 1.0, on_gpu=False).share is None


def test_throughput(bench):
    found = found_by(throughput, bench("throughput"))
    assert [row["part"] for row in found["scoring"]] == [row["block"] for row in found["encoding"]] == [16, 48]
    for row in found["scoring"] + found["encoding"]:
        assert 0 < row["tokenising_share"] < 1 and 0 < row["writing_share"] < 1


def test_search(bench):
    found = found_by(search, bench("search"))
    assert len(found["search"]) == 4 and all(row["queries_per_second"] > 0 for row in found["search"])


def test_plain_search_finds_the_largest_products():
    queries, corpus = torch.eye(3), torch.tensor([[1.0, 0, 0], [0, 2.0, 0], [0.5, 1.0, 0], [0, 0, 1.0]])
    found = search.plain(queries, corpus, 1, torch.device("cpu"))
    assert found.tolist() == [[0], [1], [3]]


class Run:
    """Stands for the process of a distillation: dies when it is killed, or ends."""

    def __init__(self, killed, came=True):
        self.killed, self.came, self.sent = killed, came, []

    def wait(self, timeout=0):
        return Finished(-signal.SIGKILL if self.sent and self.came else 0, "", 1.5)

    def wait_for(self, condition, timeout=0):
        return self.came

    def send(self, number):
        self.sent.append(number)


@pytest.mark.parametrize("difference", [0.0, 1e-6])
def test_a_resumed_run_is_compared_with_one_that_was_not_killed(bench, monkeypatch, difference):
    commands = []
    monkeypatch.setattr(resume, "_command", lambda bench, name: commands.append(name) or Run(name))
    monkeypatch.setattr(resume, "largest_difference", lambda *_: difference)
    found = found_by(resume, bench("resume"))
    assert commands == ["whole", "again", "killed", "killed", "killed"]
    assert [row["same_weights"] for row in found["runs"]] == [difference == 0] * 2
    assert found["runs"][1]["kills"] == "0 stages done, 0 checkpoints; 0 stages done, 0 checkpoints"


def test_a_run_that_ends_before_it_is_killed_is_no_evidence(bench, monkeypatch):
    monkeypatch.setattr(resume, "_command", lambda bench, name: Run(name, came=False))
    monkeypatch.setattr(resume, "largest_difference", lambda *_: 0.0)
    made = bench("resume")
    resume.run(made)
    assert "before it could be killed" in made.record.content["errors"]["killed"]


@pytest.mark.parametrize("code", [0, 1])
def test_the_launcher_is_asked_for_one_process(bench, monkeypatch, code):
    commands = []
    monkeypatch.setattr(launcher, "_run", lambda command, seconds: commands.append(command) or (code, "Oh: no"))
    made = bench("launcher")
    if code:
        with pytest.raises(RuntimeError, match="Oh: no"):
            launcher.run(made)
    else:
        launcher.run(made)
    assert commands[0][1:6] == ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "1"]
    assert (
        commands[0][commands[0].index("distill") - 1] == "st_mta" and made.record.content["found"]["exit code"] == code
    )


def test_a_launcher_that_does_not_end_is_ended():
    import subprocess
    import sys

    with pytest.raises(subprocess.TimeoutExpired):
        launcher._run([sys.executable, "-c", "import time; time.sleep(60)"], 0.1)
    assert launcher._run([sys.executable, "-c", "print('here'); raise SystemExit(3)"], 20) == (3, "here\n")


def test_arms_run_seed_by_seed_until_the_time_is_over(bench, monkeypatch):
    made, ran = bench("assistants"), []

    def run_arm(material, arm, seed, layers, zero_shot):
        ran.append((seed, arm))
        if len(ran) == 3:
            made._ends = 0.0
        quality = {"ndcg@10": 0.5 + 0.01 * len(ran), "recall@100": 0.9}
        compute = {"steps": 4, "seconds": 1.0}
        return {
            "measures": {"collection": quality},
            "compute": compute,
            "per_query": {"collection": {"q": 0.5, "r": 1.0}},
        }

    toy = assistants.TOY
    monkeypatch.setattr(assistants, "TOY", replace(toy, seeds=(1, 2)))
    monkeypatch.setattr(assistants, "run_arm", run_arm)
    monkeypatch.setattr(assistants.shared.Material, "prepare", lambda self: {"seconds": 1})
    found = found_by(assistants, made)
    assert ran == [(1, "st_mta"), (1, "kl"), (2, "st_mta")]
    assert found["stopped before"] == "kl, seed 2"
    assert [row["collection nDCG@10"] for row in found["arms"]] == ["0.510", "0.520"]
