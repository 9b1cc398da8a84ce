"""Turns scores that others have published into a collection and a teacher.

Example:
  st-mta import train.jsonl --output-dir marco --corpus corpus.parquet --queries queries.parquet
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from st_mta.checked import Checked
from st_mta.cli.show import wide_console
from st_mta.collections.score_files import FORMS
from st_mta.options import option
from st_mta.recipes.import_scores import PAIRS, RUN, SCORES, import_scores
from st_mta.recipes.options import INPUTS


@dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """Options of ``st-mta import``."""

    scores: str = option(
        group=INPUTS,
        bare=True,
        help="File of records (.jsonl, .json, also .gz, .parquet), a folder of save_to_disk, or a run.",
    )
    output_dir: str = option(group=INPUTS, help="New folder for the collection and scores.parquet.")
    corpus: str | None = option(
        None,
        group=INPUTS,
        basic=True,
        help="Ids and texts of passages, where the file has only ids; or a BEIR folder.",
    )
    queries: str | None = option(None, group=INPUTS, basic=True, help="The same of queries.")
    form: str | None = option(
        None,
        group=INPUTS,
        basic=True,
        choices=(None, *FORMS, RUN),
        help="What the records look like, where that is not recognised.",
    )


def run(config: Config) -> None:
    """Imports, and shows the commands that use what was written."""
    _, scores = import_scores(
        config.scores, config.output_dir, corpus=config.corpus, queries=config.queries, form=config.form
    )
    folder = Path(config.output_dir)
    written = {"pairs": folder / PAIRS, "output": folder / SCORES}
    if scores is None:
        options = " ".join(f"--{name} {shlex.quote(str(path))}" for name, path in written.items())
        _show(f"st-mta score --collection {shlex.quote(str(folder))} --scorer TEACHER {options}")
    _show(f"st-mta distill --collection {shlex.quote(str(folder))} --teacher {shlex.quote(str(folder / SCORES))} \\")
    _show(f"  --student minilm --output-dir {shlex.quote(f'{folder}-student')}")


def _show(line: str) -> None:
    wide_console().print(line, markup=False, highlight=False)
