"""Distillation in steps of depth: every student is cut from the one before, which then helps to teach it."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

from st_mta.atomic import atomic_write_text
from st_mta.errors import InputError
from st_mta.outputs import check_output_folder
from st_mta.processes import processes
from st_mta.recipes.distill import WHOLE, DistillConfig, distill
from st_mta.report import Report
from st_mta.scorers import load_any_student
from st_mta.scorers.origin import num_layers
from st_mta.training.students import spread_layers

logger = logging.getLogger(__name__)

SUMMARY = "ladder.json"


def climb_down(config: DistillConfig) -> Report:
    """Distils the student as it comes, then one of fewer layers for every number in ``config.ladder``.

    A student much smaller than its teacher learns better from one of a size between them (Mirzadeh et al., AAAI 2020,
    https://arxiv.org/abs/1902.03393, and AMD, https://arxiv.org/abs/2407.03034, which looks for the best size). Here
    the teacher stays at every step, and the larger student becomes one of the assistants, beside those that are
    given; the smaller one begins with some of its layers, spread over its depth.

    Every step is a run of its own, resumed as any other; their results stand side by side in ``ladder.json``.

    Args:
        config: Of the first step; ``ladder`` are the layers of the following ones.

    Returns:
        The report of the last step.

    Raises:
        InputError: As for [`distill`], or if the student has not more layers than the first step down.
    """
    rungs = steps_of(config, depth_of(config))
    reports = [distill(rung) for rung in rungs]
    processes().on_leader(lambda: _summarise(Path(config.output_dir), rungs, reports))
    return reports[-1]


def steps_of(config: DistillConfig, depth: int) -> list[DistillConfig]:
    """The configuration of every step.

    Args:
        config: With a ladder.
        depth: Layers of the student as it comes.

    Raises:
        InputError: If the ladder does not begin below that, or a student would have fewer layers than an exit.
    """
    if config.ladder[0] >= depth:
        raise InputError(
            expected=f"a ladder that begins below the {depth} layers of the student",
            got=" ".join(map(str, config.ladder)),
            remedy="leave out what is not smaller, or give a student of more layers",
        )
    if config.exits and max(config.exits) >= config.ladder[-1]:
        raise InputError(
            expected=f"exits after fewer layers than the {config.ladder[-1]} of the ladder's last student",
            got=" ".join(map(str, config.exits)),
            consequence="the last steps would be refused after the first ones have trained",
            remedy="leave out the larger ones, or end the ladder earlier",
        )
    root = check_output_folder(config.output_dir)
    found = [replace(config, ladder=[], output_dir=str(folder_of(root, depth)))]
    for above, layers in zip([depth, *config.ladder], config.ladder):
        larger = str(Path(found[-1].output_dir) / "student")
        step = replace(
            config,
            ladder=[],
            output_dir=str(folder_of(root, layers)),
            student=larger,
            student_layers=spread_layers(layers, above),
            student_vocabulary=WHOLE,  # the larger one is cut already
            assistants=[*config.assistants, larger],
        )
        found.append(step)
    return found


def folder_of(root: Path, layers: int) -> Path:
    """Of the run whose student has so many layers."""
    return root / f"{layers}-layers"


def depth_of(config: DistillConfig) -> int:
    """Layers of the student as it comes; 0 where it has none that could be counted."""
    if config.student_layers:
        return len(config.student_layers)
    return num_layers(load_any_student(config.student, device="cpu")) or 0


def _summarise(root: Path, rungs: list[DistillConfig], reports: list[Report]) -> None:
    rows = [
        {
            "folder": Path(rung.output_dir).name,
            "layers": report["student"]["layers"],
            "parameters": report["student"]["parameters"],
            "ndcg@10": report["student"]["ndcg@10"],
            "queries_per_second": report["student"]["queries_per_second"],
        }
        for rung, report in zip(rungs, reports)
    ]
    for row in rows:
        logger.info("%s: nDCG@10 %.3f, %s weights.", row["folder"], row["ndcg@10"], f"{row['parameters']:,}")
    atomic_write_text(root / SUMMARY, json.dumps(rows, indent=2) + "\n")
