"""Two processes that share a batch have the gradient of one, the map's included."""

from __future__ import annotations

import torch
import torch.multiprocessing

from tests.losses.embedding.two_processes import shard_gradient


def test_two_processes_have_the_gradient_of_one(tmp_path):
    torch.multiprocessing.get_context("forkserver").set_forkserver_preload(["tests.losses.embedding.two_processes"])
    context = torch.multiprocessing.start_processes(
        shard_gradient, args=(2, str(tmp_path)), nprocs=2, start_method="forkserver", join=False
    )
    shard_gradient(0, 1, str(tmp_path))
    while not context.join():
        pass
    alone = torch.load(tmp_path / "gradient-0-of-1.pt")
    first, second = (torch.load(tmp_path / f"gradient-{rank}-of-2.pt") for rank in range(2))
    assert len(alone) == 4 and all(gradient.abs().max() > 1e-3 for gradient in alone.values())
    for name, gradient in alone.items():
        torch.testing.assert_close(first[name], second[name], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(first[name], gradient, atol=1e-5, rtol=1e-4)
