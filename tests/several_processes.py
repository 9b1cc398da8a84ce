"""What one process of several does in tests of `st_mta.processes`; a module of its own, so that it can be imported."""

from __future__ import annotations

import os
import pickle
from datetime import timedelta
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.multiprocessing
from torch import distributed

from st_mta.errors import InputError
from st_mta.processes import processes
from st_mta.run.seen import refuse_other_texts, refuse_unseen
from st_mta.scorers import BiEncoderScorer, CrossEncoderScorer, ListFunctionScorer, SparseScorer
from st_mta.scorers import sparse as sparse_scorer
from st_mta.stores import Store
from st_mta.types import Texts
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer, tiny_sparse_encoder

SECONDS = 60
"""After which a test fails whose processes wait for each other."""


def run_in_processes(count: int, function, *arguments, seconds: int = SECONDS) -> None:
    """Runs ``function(rank, count, *arguments)`` in processes that are joined by gloo, or in this one alone."""
    if count == 1:
        function(0, 1, *arguments)
        return
    # All are forked from one clean process that has done the slow imports.
    torch.multiprocessing.get_context("forkserver").set_forkserver_preload([__name__])
    context = torch.multiprocessing.start_processes(
        _joined, args=(count, function, *arguments), nprocs=count, start_method="forkserver", join=False
    )
    for _ in range(seconds):
        if context.join(timeout=1):
            return
    for process in context.processes:
        process.kill()
    raise TimeoutError(f"{count} processes were not done after {seconds} seconds")


def _joined(rank: int, count: int, function, *arguments) -> None:
    torch.set_num_threads(1)
    models()  # while no group is there: the host saves on rank 0 only
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    folder = Path(arguments[0])
    distributed.init_process_group(
        "gloo",
        f"file://{folder}/meet-{count}",
        rank=rank,
        world_size=count,
        timeout=timedelta(seconds=SECONDS),
    )
    function(rank, count, *arguments)
    distributed.destroy_process_group()


@cache
def models():
    """A cross-encoder, a bi-encoder and a sparse encoder."""
    return tiny_cross_encoder(2), tiny_sentence_transformer(3), tiny_sparse_encoder(4)


class Counting:
    """Multiplies, and remembers what it was asked in this process."""

    name, divisible = "counting", ("times",)

    def __init__(self, factor: int, fingerprint: str = "f") -> None:
        self.factor, self.fingerprint = factor, fingerprint
        self.asked: list[int] = []

    def times(self, number: int, plus: int = 0) -> int:
        """number * factor + plus."""
        if number == 13:
            raise InputError(expected="no 13", got="13", remedy="take another number")
        self.asked.append(number)
        return number * self.factor + plus


def talk(rank: int, count: int, folder: str) -> None:
    """Everything that `Processes` offers; what each rank saw is saved."""
    seen: dict[str, object] = {}
    team = processes()
    seen["ranks"] = (team.rank, team.size, team.leads)
    seen["sum"] = team.sum([rank, 1]).tolist()
    seen["any"] = [team.any(rank == count - 1), team.any(False)]
    seen["share"] = team.share({"from": rank})
    here = Counting(10)
    team.introduce([here])
    ran: list[int] = []

    def together(number: int) -> int:
        ran.append(number)
        return int(processes().sum([rank])[0]) + number

    def work() -> list[int]:
        travelled = Counting(100, "another")
        found = team.map(here.times, [(number,) for number in range(5)])
        found += team.map(travelled.times, [(number, 1) for number in range(3)])
        found += team.map(lambda number: number, [(7,), (8,)])
        found += [team.width(here.times), team.width(print), team.together("add", together, 1000)]
        return found

    seen["lead"], seen["ran"], seen["asked"] = team.lead(work, {"add": together}), ran, here.asked
    seen["on leader"] = team.on_leader(lambda: rank)
    seen["lead on leader"] = team.on_leader(lambda: team.lead(lambda: team.map(here.times, [(1,), (2,)])))
    mended = Counting(1000, "another")  # as another object was known before
    seen["again"] = team.lead(lambda: team.map(mended.times, [(1,), (2,)]))
    for name, failing in {
        "unit": lambda: team.map(here.times, [(1,), (13,)]),
        "leader": lambda: [][1],
        "result": lambda: Unsendable() if count > 1 else "pickle",
        "unsent": lambda: team.map(Unsendable().times, [(1,), (2,)]),
    }.items():
        try:
            seen[name] = team.lead(failing)
        except Exception as error:
            seen[name] = f"{type(error).__name__}: {error}"
    output = Path(folder, "runs", "out")
    refuse_unseen(output)
    team.barrier()
    seen["left behind"] = output.parent.exists()
    with mock.patch.object(Path, "exists", lambda path: rank != count - 1):
        try:
            refuse_unseen(Path(folder))
        except InputError as error:
            seen["unseen"] = str(error)
    team.barrier()
    refuse_other_texts("the same")
    try:
        refuse_other_texts("other" if rank == 1 else "the same")
    except InputError as error:
        seen["other texts"] = str(error)
    Path(folder, f"talk-{rank}-of-{count}").write_bytes(pickle.dumps(seen))


def fail_in_training(rank: int, count: int, folder: str) -> None:
    """Rank 0 fails where the others wait for it; what each rank raised is saved."""

    def training() -> None:
        if rank == 0:
            raise ValueError("the disk is full")
        processes().barrier()

    try:
        processes().lead(lambda: processes().together("train", training), {"train": training})
    except Exception as error:
        Path(folder, f"failed-{rank}").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
    os._exit(0)


class Unsendable(Counting):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__(2, "unsendable")
        self.own = lambda: None


def texts(count: int, words: int, seed: int) -> Texts:
    """Texts of one to ``words`` words."""
    source = np.random.default_rng(seed)
    lengths = source.integers(1, words + 1, count)
    return Texts.from_dict(
        {f"{seed}-{i}": " ".join(source.choice([f"w{j}" for j in range(50)], n)) for i, n in enumerate(lengths)}
    )


def share_of_list(queries: list[str], lists: list[list[str]]) -> list[list[float]]:
    """A passage's share of its list's letters."""
    return [[len(text) / sum(map(len, passages)) for text in passages] for passages in lists]


def score_and_encode(rank: int, count: int, folder: str, queries: int) -> None:
    """Fills a store by four kinds of scorers; rank 0 saves what they gave."""
    store = Store(Path(folder, f"store-{count}-{queries}"))
    sparse_scorer.BLOCK = 16
    cross, bi, sparse = models()
    scorers = [
        CrossEncoderScorer(cross, name="cross", store=store, part_size=16),
        BiEncoderScorer(bi, name="bi", store=store, block_size=8),
        SparseScorer(sparse, name="sparse", store=store, part_size=16),
        ListFunctionScorer(share_of_list, "lists", store, version="1", part_size=40),
    ]
    asked, corpus = texts(queries, 4, 1), texts(60, 12, 2)
    source = np.random.default_rng(0)
    pairs = np.repeat(np.arange(queries), 5), source.integers(0, 60, 5 * queries)
    everywhere = [scorer for scorer in scorers if scorer.name == "cross"]
    processes().introduce(everywhere)
    found = processes().lead(lambda: [scorer.score(asked, corpus, *pairs) for scorer in scorers])
    here = [scorer.pairs_computed for scorer in scorers]
    if rank == 0:
        np.savez(Path(folder, f"scores-{count}-{queries}"), found=np.stack(found), here=here)
