"""The plan of a distillation on the console: a row for each piece of work, a total, and what is not known."""

from __future__ import annotations

from collections.abc import Iterator

from st_mta.cli.show import indented, readable_size, wide_console
from st_mta.recipes.plan import Plan, Work
from st_mta.report import console_table
from st_mta.report.wording import NOTHING, count, duration


def show_plan(plan: Plan) -> None:
    """Prints it."""
    console = wide_console()
    console.print(console_table(list(_rows(plan)), title="What is to be done; numbers with \u2264 are bounds"))
    total = plan.total
    console.print(
        f"{count(total.pairs)} pairs scored, {count(total.texts)} texts encoded, {count(total.searches)} searches, "
        f"{count(total.steps)} steps; {readable_size(total.written)} written, about {readable_size(plan.memory)} of "
        f"memory; about {duration(total.seconds)} on this machine ({plan.device}) in one process."
    )
    if plan.finished:
        console.print(f"Finished before: {', '.join(plan.finished)}.")
    if plan.notes:
        console.print(indented(plan.notes, by=""))


def _rows(plan: Plan) -> Iterator[dict[str, str]]:
    shown = ""
    for work in plan.works:
        yield {"Stage": "" if work.stage == shown else work.stage, **_cells(work)}
        shown = work.stage


def _cells(work: Work) -> dict[str, str]:
    bound = "\u2264 " if work.at_most and work.count else ""
    return {
        "What": work.what,
        "Count": f"{bound}{work.count:,}" if work.unit else NOTHING,
        "Stored": f"{work.stored:,}" if work.stored else NOTHING,
        "Tokens": count(work.tokens),
        "Reads": readable_size(work.read) if work.read else NOTHING,
        "Writes": readable_size(work.written) if work.written else NOTHING,
        "Time": "?" if work.seconds is None else duration(work.seconds) if work.seconds else NOTHING,
    }
