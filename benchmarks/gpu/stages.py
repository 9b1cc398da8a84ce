"""The stages in the order of their worth, and the most that each may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage, a module of this package with a function ``run(bench)``.

    Attributes:
        name: Of the stage, its module and its file.
        limit: Seconds after which it is ended.
        what: In words, for the page.
    """

    name: str
    limit: float
    what: str

    @property
    def module(self) -> str:
        """Where its ``run`` is."""
        return f"benchmarks.gpu.{self.name}"


STAGES = {
    stage.name: stage
    for stage in (
        Stage("versions", 40, "Versions, and the peaks that the device reaches"),
        Stage("correctness", 90, "The same numbers as on the CPU in fp32"),
        Stage("stops", 60, "Where a training step waits for the GPU"),
        Stage("resume", 75, "A distillation killed and resumed: the same weights"),
        Stage("stations", 100, "Stations beside the stock pipeline"),
        Stage("profile", 60, "How busy a training step keeps the GPU"),
        Stage("throughput", 60, "Scoring and encoding by the size of their parts"),
        Stage("search", 40, "Search of a million passages"),
        Stage("launcher", 50, "A distillation under torchrun, one process"),
        Stage("assistants", 200, "Whether assistants pay, at a size that fits"),
    )
}
