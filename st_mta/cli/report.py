"""``st-mta report``."""

from __future__ import annotations

from dataclasses import dataclass, field

from st_mta.cli.parse import parse
from st_mta.report.rewrite import rewrite_report


@dataclass
class ReportConfig:
    """Options of ``st-mta report``."""

    output_dir: str = field(
        metadata={"help": "The output folder of a finished distillation; may stand without the flag."}
    )
    output: str | None = field(
        default=None, metadata={"help": "Where to write the HTML page (report.html in that folder if not given)."}
    )
    collection: str | None = field(
        default=None, metadata={"help": "Where queries and passages are (the run's own collection if not given)."}
    )


def run(arguments: list[str]) -> None:
    """Parses, writes, prints where."""
    config = parse(
        ReportConfig,
        arguments,
        "report",
        "Writes the pages of a finished distillation: report.html, all in one file, and report.md.",
        example="st-mta report out --output page.html",
        first="output_dir",
    )
    print(rewrite_report(config.output_dir, html_path=config.output, collection=config.collection))
