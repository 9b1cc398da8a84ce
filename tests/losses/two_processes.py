"""What one process of a data-parallel run does; a module of its own, so that a new process can import it."""

from __future__ import annotations

import os

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from st_mta.losses import ListwiseKLLoss
from tests.losses.conftest import LABEL, PASSAGES, QUERIES
from tests.tiny import tiny_sentence_transformer


def shard_gradient(rank: int, processes: int, folder: str) -> None:
    """Saves the student's gradient for this process's share of the batch, averaged over the processes."""
    torch.set_num_threads(1)
    student = model = tiny_sentence_transformer(seed=1)
    if processes > 1:
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=processes)
        model = DistributedDataParallel(student, find_unused_parameters=True)
    loss = ListwiseKLLoss(student)
    loss.model = model  # as the host's trainer does
    mine = slice(rank * 4 // processes, (rank + 1) * 4 // processes)
    columns = [QUERIES[mine], *(list(column) for column in zip(*PASSAGES[mine]))]
    features = [student.preprocess(column) for column in columns]
    loss(features, torch.tensor(LABEL)[mine]).backward()
    gradient = torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])
    torch.save(gradient, f"{folder}/gradient-{rank}-of-{processes}.pt")
    if processes > 1:
        distributed.destroy_process_group()
