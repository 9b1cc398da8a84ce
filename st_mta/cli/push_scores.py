"""``st-mta push-scores``."""

from __future__ import annotations

from dataclasses import dataclass, field

from st_mta.cli.parse import parse
from st_mta.cli.push import show_files
from st_mta.hub.scores import push_scores, score_files
from st_mta.stores import Store


@dataclass
class PushScoresConfig:
    """Options of ``st-mta push-scores``."""

    repo: str = field(metadata={"help": "Where to publish: owner/name of a dataset on the Hub."})
    store: str | None = field(default=None, metadata={"help": "The store's folder (the user's cache if not given)."})
    scorer: list[str] = field(
        default_factory=list, metadata={"help": "Names or fingerprints from st-mta cache (all if not given)."}
    )
    license: str | None = field(default=None, metadata={"help": "Licence for the card, as cc-by-4.0."})
    private: bool = field(default=False, metadata={"help": "Make a new dataset private."})
    dry_run: bool = field(default=False, metadata={"help": "Only list what would be uploaded; asks no network."})
    revision: str | None = field(default=None, metadata={"help": "Branch to push to (main if not given)."})
    create_pr: bool = field(default=False, metadata={"help": "Open a pull request instead of pushing."})


def run(arguments: list[str]) -> None:
    """Lists the files, then uploads them as one commit."""
    config = parse(PushScoresConfig, arguments, "push-scores", "Publishes stored scores as a dataset, without texts.")
    store = Store(config.store)
    show_files(score_files(store, config.repo, config.scorer, config.license), config.repo)
    if config.dry_run:
        return
    address = push_scores(
        store,
        config.repo,
        scorers=config.scorer,
        licence=config.license,
        private=config.private or None,
        revision=config.revision,
        create_pr=config.create_pr,
    )
    print(address)
