"""The same numbers on a GPU as on the CPU in fp32: scorers, search, losses with their gradients, packed rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.comparing import compared
from benchmarks.gpu.gradients import Gradients
from benchmarks.gpu.trainings import packing
from benchmarks.search.speed import in_memory
from st_mta.backbones import can_pack
from st_mta.scorers import BiEncoderScorer, CrossEncoderScorer, LateInteractionScorer, SparseScorer
from st_mta.search.backends import exact_search
from st_mta.search.corpus import search_corpus
from tests.tiny import tiny_sparse_encoder

CPU = torch.device("cpu")
Compute = Callable[[torch.device, str], Any]
"""Device and precision -> numbers."""
COPIES = 5
"""Times that each passage stands in the corpus that is searched: every rank has ties."""


def run(bench: Bench) -> None:
    """Compares everything, part by part."""
    for what, compute in scorers(bench):
        with bench.part(what):
            compare_scorer(bench, what, compute)
    with bench.part("search with ties"):
        compare_search(bench)
    with bench.part("losses"):
        compare_losses(bench)
    for precision in bench.precisions:
        with bench.part(f"packed in {precision}"):
            compare_packed(bench, precision)
    bench.note("all within tolerance", _all_within(bench.record.content["found"]))


def compare_scorer(bench: Bench, what: str, compute: Compute) -> None:
    """One kind of scorer, in both number formats."""
    expected = compute(CPU, "fp32")
    for precision in bench.precisions:
        found = compute(bench.device, precision)
        bench.row("scorers", what=what, precision=precision, **compared(what, precision, found, expected))


def scorers(bench: Bench) -> Iterator[tuple[str, Compute]]:
    """What each kind of scorer computes, by the names of the tolerances."""
    speed, collection = bench.models.speed, bench.models.collection
    passages = bench.models.passages[: bench.sized(96, 16)]
    known = collection.queries.take(speed.queries)
    queries = [known[number % len(known)] for number in range(len(passages))]

    def embeddings(device: torch.device, precision: str) -> Any:
        model = SentenceTransformer(speed.retriever, device=str(device))
        return BiEncoderScorer(model, precision=precision).encode(passages, "document")

    def logits(device: torch.device, precision: str) -> Any:
        model = CrossEncoder(speed.teacher, device=str(device))
        return CrossEncoderScorer(model, precision=precision).predict(queries, passages)

    def late_interaction(device: torch.device, precision: str) -> Any:
        return LateInteractionScorer(speed.retriever, precision=precision, device=device).predict(queries, passages)

    def sparse(device: torch.device, precision: str) -> Any:
        return (
            SparseScorer(tiny_sparse_encoder().to(device), precision=precision).encode(passages, "document").toarray()
        )

    yield "embeddings", embeddings
    yield "logits", logits
    yield "late interaction", late_interaction
    yield "sparse", sparse


def compare_search(bench: Bench) -> None:
    """Searches a corpus full of equal passages on both, with exact products and with rounded ones."""
    random = np.random.default_rng(0)
    rows = random.standard_normal((bench.sized(20_000, 40), 64), dtype=np.float32)
    places = random.permutation(np.arange(COPIES * len(rows)) % len(rows))
    corpus = in_memory(np.ascontiguousarray(rows[places]))
    queries = in_memory(random.standard_normal((bench.sized(1000, 8), 64), dtype=np.float32))
    depth = bench.sized(100, 12)
    expected = search_corpus(queries, corpus, depth, exact_search(corpus, CPU))
    for rounded in (False, True):
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = rounded
        try:
            found = search_corpus(queries, corpus, depth, exact_search(corpus, bench.device))
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
        same = np.array_equal(found[0], expected[0]), np.array_equal(found[1], expected[1])
        products = "tf32" if rounded else "fp32"
        bench.row("search", products=products, same_scores=same[0], same_passages=same[1], within=all(same))


def compare_losses(bench: Bench) -> None:
    """Every loss: its value and its gradient."""
    gradients = Gradients(bench.models)
    for word, make in gradients.losses():
        with bench.part(f"loss {word}"):
            value, gradient = gradients.of(make, CPU, "fp32")
            for precision in bench.precisions:
                found, found_gradient = gradients.of(make, bench.device, precision)
                values = compared("loss", precision, [found], [value])
                more = compared("gradient", precision, found_gradient, gradient)
                bench.row(
                    "losses",
                    loss=word,
                    precision=precision,
                    value=value,
                    relative=values["relative"],
                    gradient=more["relative"],
                    tolerances=f"{values['tolerance']:g}, {more['tolerance']:g}",
                    within=values["within"] and more["within"],
                )


def compare_packed(bench: Bench, precision: str) -> None:
    """Embeddings on the device without padding against those with it."""
    passages = bench.models.passages[: bench.sized(256, 16)]
    found = {}
    for packed in (False, True):
        with packing(bench.device, packed):
            model = SentenceTransformer(bench.models.speed.retriever, device=str(bench.device))
            scorer = BiEncoderScorer(model, precision=precision)
            found[packed] = scorer.encode(passages, "document")
            used = can_pack(scorer.model)
        if packed and not used:
            raise RuntimeError("this backbone computes with padding here")
    packs = compared("packed", precision, found[True], found[False])
    bench.row("packed", precision=precision, **packs)


def _all_within(found: dict[str, Any]) -> bool:
    rows = [row for table in found.values() if isinstance(table, list) for row in table]
    return bool(rows) and all(row.get("within", True) for row in rows)
