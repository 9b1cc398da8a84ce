"""`plan`: the work of a distillation, from its configuration, before anything of it is done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from st_mta.errors import InputError
from st_mta.processes import processes
from st_mta.recipes.distill import DistillConfig, prepared_distillation
from st_mta.recipes.ladder import depth_of, steps_of
from st_mta.recipes.plan import sizes
from st_mta.recipes.plan.foreseen import Foreseen
from st_mta.recipes.plan.rates import Rates
from st_mta.recipes.plan.stages import Stages
from st_mta.recipes.plan.steps import weights_of
from st_mta.recipes.plan.work import Plan, Work
from st_mta.run.journal import Journal
from st_mta.training.curriculum import training_queries
from st_mta.training.distillation import Distillation

OF_GENERATOR = "query_generator query_generator_options queries_per_passage round_trip round_trip_with".split()
GENERATED = (
    "Generated queries are not there yet: where the collection has none of its own, as many passages are cropped to "
    "queries in their place (num_crops), and generating them is not counted."
)

FIRST_STEP = "This is the first step of the ladder; the others have smaller students, and scores that it has stored."


def plan(config: DistillConfig) -> Plan:
    """What each stage will read, compute and write, and how long it will take in one process on this machine.

    Everything is loaded and checked as for a run, the models are measured on a few texts, and nothing is written. What
    the store or the output folder holds already counts as no work.

    Args:
        config: The options of the run.

    Raises:
        InputError: Where the run would be refused, or several processes ask.
    """
    if processes().size > 1:
        raise InputError(
            expected="one process for a plan",
            got=str(processes().size),
            remedy="run the same command without a launcher",
        )
    found = plan_of(prepared_distillation(_first_step(config)), begun=not config.overwrite)
    notes = [GENERATED] * (config.query_generator is not None) + [FIRST_STEP] * bool(config.ladder)
    return replace(found, notes=[*found.notes, *notes])


def _first_step(config: DistillConfig) -> DistillConfig:
    """The first run of a ladder, on queries cropped from passages: those to come would be generated and stored now."""
    if config.query_generator is not None:
        # Options of a recipe are the configuration's own by now; asked again, it would want its generator.
        without: dict[str, Any] = dict.fromkeys((*OF_GENERATOR, "recipe"))
        config = replace(config, **without)
    return steps_of(config, depth_of(config))[0] if config.ladder else config


def plan_of(run: Distillation, *, begun: bool = True) -> Plan:
    """The same of a distillation that was prepared.

    Args:
        run: Prepared, and not begun in this process.
        begun: Whether stages that its folder has are done.
    """
    finished = _finished(run) if begun else []
    foreseen = Foreseen(run.collection, Rates(run.arguments.seed), set(finished))
    stages = Stages(run, foreseen)
    stages.all()
    return Plan(
        works=foreseen.works,
        memory=_memory(run, stages.per_query),
        device=run.settled.device,
        finished=finished,
        notes=_notes(run, foreseen.works),
    )


def _finished(run: Distillation) -> list[str]:
    if not run.folder.begun:
        return []
    stages = list(Journal.of(run.folder.journal).seconds())
    return stages + ["report"] * (run.folder.report.exists() and "serving" in stages)


def _memory(run: Distillation, per_query: int) -> int:
    collection, arguments = run.collection, run.arguments
    queries = min(arguments.queries_per_iteration or len(collection.queries), len(training_queries(collection)))
    return sizes.held(
        collection.corpus,
        collection.queries,
        run.pool.scorers,
        weights_of(run.students.original),
        rankings=2 * queries * (arguments.range_max + 1),
        pairs=queries * per_query,
    )


def _notes(run: Distillation, works: list[Work]) -> list[str]:
    notes = []
    if run.arguments.num_iterations > 1:
        notes.append(
            "Of later iterations these are bounds: every list as if its passages were new, and every query as if the "
            "student had got it wrong."
        )
        if (patience := run.arguments.patience) is not None:
            notes.append(f"The run ends before its last iteration where {patience} of them do not improve on dev.")
    if unmeasured := sorted({work.what for work in works if work.seconds is None}):
        notes.append(f"Without their time, since nothing is asked of a service: {', '.join(unmeasured)}.")
    if run.arguments.teacher_learns is not None:
        notes.append("The teacher's own training is not counted, and its new scores of what it scored before.")
    if run.arguments.exits is not None:
        notes.append("Measuring the exits at the end is not counted.")
    if run.arguments.eval_strategy != "no":
        notes.append("Evaluation during training is not counted.")
    if run.arguments.regression_to == "best" and any("on embeddings" in work.what for work in works):
        notes.append("Which bi-encoder the student is regressed to is only known once they are measured.")
    return notes
