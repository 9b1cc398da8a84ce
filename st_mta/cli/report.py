"""``st-mta report``."""

from __future__ import annotations

from argparse import ArgumentParser

from st_mta.report.rewrite import rewrite_report


def run(arguments: list[str]) -> None:
    """Parses, writes, prints where."""
    parser = ArgumentParser(
        prog="st-mta report",
        description="Writes the pages of a finished distillation: report.html, all in one file, and report.md.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="OUT", help="The output folder of a finished distillation.")
    parser.add_argument(
        "--output", metavar="FILE", help="Where to write the HTML page (OUT/report.html if not given)."
    )
    parser.add_argument(
        "--collection",
        metavar="NAME_OR_FOLDER",
        help="Where the texts of queries and passages are (the run's own collection if not given).",
    )
    options = parser.parse_args(arguments)
    print(rewrite_report(options.folder, html_path=options.output, collection=options.collection))
