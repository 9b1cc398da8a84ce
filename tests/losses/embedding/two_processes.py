"""What one process of a data-parallel run does; a module of its own, so that a new process can import it."""

from __future__ import annotations

import os

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from st_mta.losses import EmbeddingDistillationLoss
from tests.losses.conftest import COLUMNS
from tests.losses.embedding.conftest import normal, orthonormal
from tests.losses.two_processes import own
from tests.tiny import tiny_sentence_transformer

EVERY = {"cosine": 1.0, "l2": 0.5, "mse": 2.0, "gram": 3.0, "relative": 2.0, "spread": 1.0}
OVER_BATCH = {"gram": 3.0, "relative": 2.0, "spread": 1.0}
HALVES, UNEVEN = [slice(0, 2), slice(2, 4)], [slice(0, 3), slice(3, 4)]


def make_losses(student):
    """Losses by name, and which rows of the batch each process has."""
    gathered = {"gather_across_devices": True}
    fixed = EmbeddingDistillationLoss(student, terms=EVERY, map=orthonormal(32, 48).T, **gathered)
    cuts = {"matryoshka_dims": [32, 8], "terms": EVERY}
    return {
        "fixed": (fixed, HALVES),
        "learned": (EmbeddingDistillationLoss(student, map="learned", teacher_dim=48, **cuts, **gathered), HALVES),
        "orthogonal": (EmbeddingDistillationLoss(student, map="orthogonal", teacher_dim=48, **gathered), HALVES),
        "uneven": (EmbeddingDistillationLoss(student, terms=OVER_BATCH, **gathered), UNEVEN),
    }


def shard_gradient(rank: int, processes: int, folder: str) -> None:
    """Saves every loss's gradient for this process's share of the batch, averaged over the processes."""
    torch.set_num_threads(1)
    student = model = tiny_sentence_transformer(seed=1)
    if processes > 1:
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=processes)
        model = DistributedDataParallel(student, find_unused_parameters=True)
    torch.manual_seed(rank)  # each process would begin with another projection
    label = normal(4, 4, 48)
    label = label / label.norm(dim=-1, keepdim=True)
    gradients = {}
    for name, (loss, shares) in make_losses(student).items():
        mine = shares[rank] if processes > 1 else slice(0, 4)
        loss.model = model  # as the host's trainer does
        loss.zero_grad()
        loss([dict(student.preprocess(column[mine])) for column in COLUMNS], label[mine]).backward()
        gradients[name] = torch.cat([p.grad.flatten() for p in own(loss) if p.grad is not None])
    torch.save(gradients, f"{folder}/gradient-{rank}-of-{processes}.pt")
    if processes > 1:
        distributed.destroy_process_group()
