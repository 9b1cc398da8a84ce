"""Processes as a launcher starts them, with a time after which they are ended and the test fails."""

from __future__ import annotations

import datetime
import os
import time

import pytest
import torch
import torch.multiprocessing
from torch import distributed

SECONDS = 180


def launch(function, num_processes, folder, *arguments, seconds=SECONDS, preload="tests.training.two_processes"):
    """Runs ``function(rank, num_processes, folder, *arguments)`` in so many processes that know each other."""
    # All are forked from one clean process that has done the slow imports.
    torch.multiprocessing.get_context("forkserver").set_forkserver_preload([preload])
    context = torch.multiprocessing.start_processes(
        _launched,
        args=(function, num_processes, str(folder), *arguments),
        nprocs=num_processes,
        start_method="forkserver",
        join=False,
    )
    end = time.monotonic() + seconds
    while not context.join(timeout=0.2):
        if time.monotonic() > end:
            for process in context.processes:
                process.kill()
            pytest.fail(f"{num_processes} processes were not done after {seconds} s")


def _launched(rank, function, num_processes, folder, *arguments):
    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(num_processes),
        LOCAL_WORLD_SIZE=str(num_processes),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT="29511",
        GLOO_SOCKET_IFNAME="lo",
        ST_MTA_PRECISION="fp32",
        HF_HUB_OFFLINE="1",
        TOKENIZERS_PARALLELISM="false",
    )
    os.makedirs(folder, exist_ok=True)
    distributed.init_process_group(
        "gloo",
        f"file://{folder}/meet",
        rank=rank,
        world_size=num_processes,
        timeout=datetime.timedelta(seconds=SECONDS),
    )
    function(rank, num_processes, folder, *arguments)
    distributed.barrier()
    distributed.destroy_process_group()
