"""Search of a million passages on the GPU beside the matrix product and the selection alone."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.gpu.bench import Bench
from benchmarks.memory import forget_peak, memory_peak
from benchmarks.search.speed import in_memory, unit
from st_mta.search.backends import exact_search
from st_mta.search.corpus import search_corpus
from st_mta.types import FloatArray

DIMENSION, DEPTH = 384, 100
BLOCK = 2**16


def run(bench: Bench) -> None:
    """Measures the whole search, its first pass, and what torch alone takes, the corpus on the GPU or on its way."""
    passages, queries = bench.sized(10**6, 600), bench.sized(2**13, 32)
    depth = min(DEPTH, passages // 4)
    corpus, asked = random_rows(passages, 1, bench.device), random_rows(queries, 2, bench.device)
    stored, search = in_memory(corpus), exact_search(in_memory(corpus), bench.device)
    bench.note("sizes", {"passages": passages, "queries": queries, "dimension": DIMENSION, "depth": depth})
    search(asked[:8], depth)  # so that what libraries do only once does not count
    rounds = {
        "st_mta, search and exact scores": lambda: search_corpus(in_memory(asked), stored, depth, search),
        "st_mta, search": lambda: search(asked, depth),
        "torch, the corpus copied": lambda: plain(
            torch.from_numpy(asked), torch.from_numpy(corpus), depth, bench.device
        ),
    }
    for name, work in rounds.items():
        with bench.part(name):
            forget_peak()
            seconds = bench.seconds(work)
            bench.row("search", what=name, **_rates(seconds, queries), peak_mib=round(memory_peak() / 2**20))
    with bench.part("torch, the corpus there"):
        there, left = (torch.from_numpy(rows).to(bench.device) for rows in (corpus, asked))
        seconds = bench.seconds(lambda: plain(left, there, depth, bench.device))
        bench.row("search", what="torch, the corpus there", **_rates(seconds, queries), peak_mib=None)


def plain(queries: torch.Tensor, corpus: torch.Tensor, depth: int, device: torch.device) -> torch.Tensor:
    """Passages of the largest products, block by block: no ties, no exact scores."""
    queries = queries.to(device)
    best = torch.full((len(queries), 0), -torch.inf, device=device)
    where = torch.zeros((len(queries), 0), dtype=torch.int64, device=device)
    for start in range(0, len(corpus), BLOCK):
        found = (queries @ corpus[start : start + BLOCK].to(device).T).topk(min(depth, len(corpus) - start), dim=1)
        best, where = torch.cat([best, found.values], 1), torch.cat([where, found.indices + start], 1)
        best, kept = best.topk(min(depth, best.shape[1]), dim=1)
        where = where.gather(1, kept)
    return where.cpu()


def random_rows(count: int, seed: int, device: torch.device) -> FloatArray:
    """(count, D) unit vectors, made where that is quick."""
    generator = torch.Generator(device).manual_seed(seed)
    rows: FloatArray = torch.randn(count, DIMENSION, generator=generator, device=device).cpu().numpy()
    return np.ascontiguousarray(unit(rows))


def _rates(seconds: float, queries: int) -> dict[str, float]:
    return {"seconds": round(seconds, 3), "queries_per_second": round(queries / seconds, 1)}
