"""Publishes a finished run: student, card and evidence.

Example:
  st-mta push out --repo me/small-retriever --dry-run
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from st_mta.checked import Checked
from st_mta.cli.show import readable_size, wide_console
from st_mta.hub.files import run_files
from st_mta.hub.search import PublishedFile
from st_mta.hub.upload import push_run
from st_mta.options import option
from st_mta.report import console_table


@dataclass(frozen=True, kw_only=True)
class Publishing(Checked):
    """Options of both commands that publish."""

    repo: str = option(help="Where to publish: owner/name on the Hub.")
    private: bool = option(False, help="Make a new repository private.")
    dry_run: bool = option(False, help="Only list what would be uploaded; asks no network.")
    revision: str | None = option(None, help="Branch to push to (default: main).")
    create_pr: bool = option(False, help="Open a pull request instead of pushing.")

    def how(self) -> dict[str, Any]:
        """The options of the upload, as the functions take them."""
        return {"private": self.private or None, "revision": self.revision, "create_pr": self.create_pr}


@dataclass(frozen=True, kw_only=True)
class Config(Publishing):
    """Options of ``st-mta push``."""

    output_dir: str = option(bare=True, help="Folder of a finished run; may stand without the flag.")
    replace_card: bool = option(False, help="Replace a README.md that is already there.")


def run(config: Config) -> None:
    """Lists the files, then uploads them as one commit."""
    show_files(run_files(config.output_dir, config.repo), config)
    if not config.dry_run:
        print(push_run(config.output_dir, config.repo, replace_card=config.replace_card, **config.how()))


def show_files(files: Sequence[PublishedFile], config: Publishing) -> None:
    """What is published, or would be, by path and size."""
    rows = [{"File": file.path, "Size": readable_size(file.size)} for file in files]
    total = {"File": f"{len(files)} files", "Size": readable_size(sum(file.size for file in files))}
    title = "Would be published in" if config.dry_run else "To be published in"
    wide_console().print(console_table([*rows, total], title=f"{title} {config.repo}"))
