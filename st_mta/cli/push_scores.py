"""Publishes stored scores as a dataset, without texts.

Example:
  st-mta push-scores --repo me/scores --scorer bm25 --license cc-by-4.0 --dry-run
"""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.cli.push import Publishing, show_files
from st_mta.hub.scores import push_scores, score_files
from st_mta.options import option
from st_mta.recipes.options import Stored
from st_mta.stores import Store


@dataclass(frozen=True, kw_only=True)
class Config(Stored, Publishing):
    """Options of ``st-mta push-scores``."""

    scorer: list[str] = option(factory=list, help="Names or fingerprints from st-mta cache (default: all).")
    license: str | None = option(None, help="Licence for the card, as cc-by-4.0.")


def run(config: Config) -> None:
    """Lists the files, then uploads them as one commit."""
    store = Store(config.store)
    show_files(score_files(store, config.repo, config.scorer, config.license), config)
    if not config.dry_run:
        print(push_scores(store, config.repo, scorers=config.scorer, licence=config.license, **config.how()))
