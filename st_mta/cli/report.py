"""Writes the pages of a finished distillation: report.html, all in one file, and report.md.

Example:
  st-mta report out --output page.html
"""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.checked import Checked
from st_mta.options import option
from st_mta.outputs import check_output_file
from st_mta.report.rewrite import rewrite_report


@dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """Options of ``st-mta report``."""

    output_dir: str = option(bare=True, help="The output folder of a finished run; may stand without the flag.")
    output: str | None = option(None, help="Where to write the HTML page (default: report.html in that folder).")
    collection: str | None = option(None, help="Where queries and passages are (default: the run's own collection).")


def run(config: Config) -> None:
    """Writes the pages, prints where."""
    if config.output is not None:
        check_output_file(config.output)
    print(rewrite_report(config.output_dir, html_path=config.output, collection=config.collection))
