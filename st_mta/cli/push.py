"""``st-mta push``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from st_mta.cli.parse import parse
from st_mta.cli.show import readable_size, wide_console
from st_mta.hub.files import PublishedFile
from st_mta.hub.push import push_run, run_files
from st_mta.report import console_table


@dataclass
class PushConfig:
    """Options of ``st-mta push``."""

    output_dir: str = field(metadata={"help": "Folder of a finished run; may stand without the flag."})
    repo: str = field(metadata={"help": "Where to publish: owner/name on the Hub."})
    private: bool = field(default=False, metadata={"help": "Make a new repository private."})
    dry_run: bool = field(default=False, metadata={"help": "Only list what would be uploaded; asks no network."})
    revision: str | None = field(default=None, metadata={"help": "Branch to push to (main if not given)."})
    create_pr: bool = field(default=False, metadata={"help": "Open a pull request instead of pushing."})
    replace_card: bool = field(default=False, metadata={"help": "Replace a README.md that is already there."})


def run(arguments: list[str]) -> None:
    """Lists the files, then uploads them as one commit."""
    config = parse(
        PushConfig,
        arguments,
        "push",
        "Publishes a finished run: student, card and evidence.",
        example="st-mta push out --repo me/small-retriever --dry-run",
        first="output_dir",
    )
    show_files(run_files(config.output_dir, config.repo), config.repo)
    if config.dry_run:
        return
    address = push_run(
        config.output_dir,
        config.repo,
        private=config.private or None,
        revision=config.revision,
        create_pr=config.create_pr,
        replace_card=config.replace_card,
    )
    print(address)


def show_files(files: Sequence[PublishedFile], repo_id: str) -> None:
    """What is published, by path and size."""
    rows = [{"File": file.path, "Size": readable_size(file.size)} for file in files]
    total = {"File": f"{len(files)} files", "Size": readable_size(sum(file.size for file in files))}
    wide_console().print(console_table([*rows, total], title=f"Published in {repo_id}"))
