"""Publishes stored scores as a dataset of the Hub, one configuration per scorer, laid out as the store itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from st_mta.errors import InputError
from st_mta.hub.failures import check_repo_id
from st_mta.hub.public import inert, public
from st_mta.hub.score_card import score_card
from st_mta.hub.search import PublishedFile, refuse_private
from st_mta.hub.secrets import blanked
from st_mta.hub.upload import upload
from st_mta.stores import Store
from st_mta.stores.store import DESCRIPTION, StoredScorer


def score_files(
    store: Store, repo_id: str, scorers: Sequence[str] = (), licence: str | None = None
) -> list[PublishedFile]:
    """What [`push_scores`] would upload: parts, descriptions and the card; needs neither network nor token.

    Raises:
        InputError: If the id is malformed, nothing is stored, or a scorer is not in the store.
    """
    check_repo_id(repo_id)
    chosen = [_public(scorer) for scorer in _choose_scorers(store, scorers)]
    files = [PublishedFile("README.md", score_card(repo_id, chosen, licence).encode())]
    for scorer in chosen:
        key, described = scorer.fingerprint, {"name": scorer.name, "kind": scorer.kind}
        content = json.dumps(described, ensure_ascii=False).encode()
        files.append(PublishedFile(f"scorers/{key}/{DESCRIPTION}", content))
        files += [PublishedFile(f"scores/{key}/{part.name}", part) for part in store.scores.parts(key)]
    refuse_private(files)
    return files


def push_scores(
    store: Store | str | Path | None,
    repo_id: str,
    *,
    scorers: Sequence[str] = (),
    licence: str | None = None,
    **options: Any,
) -> str:
    """Publishes the scores of some or all scorers of a store.

    The card names the scorers of this push, so push all of a dataset's scorers together.

    Args:
        store: The store or its folder; the user's cache by default.
        repo_id: owner/name on the Hub.
        scorers: Names, or beginnings of fingerprints; all that scored pairs by default.
        licence: For the card; none leaves it out.
        options: token, private, exist_ok, revision, create_pr and endpoint, as for [`st_mta.hub.upload.upload`].

    Returns:
        The address of the commit or pull request.

    Raises:
        InputError: If there is nothing to publish, or the Hub does not take it.
    """
    files = score_files(Store.at(store), repo_id, scorers, licence)
    # The card's metadata say which files belong to which scorer, so an older card would be wrong.
    return upload(files, repo_id, repo_type="dataset", message="Add scores", replace_card=True, **options)


def _public(scorer: StoredScorer) -> StoredScorer:
    """With a name that may be published: without folders, secrets and control characters, and on one line."""
    name, kind = (" ".join(inert(public(blanked(text))).split()) for text in (scorer.name, scorer.kind))
    return replace(scorer, name=name, kind=kind)


def _choose_scorers(store: Store, wanted: Sequence[str]) -> list[StoredScorer]:
    """The scorers with stored pairs that have one of these names or fingerprints, the largest first."""
    stored = [scorer for scorer in store.contents() if scorer.pairs and scorer.of == "pairs"]
    unknown = [repr(name) for name in wanted if not any(_is_called(scorer, name) for scorer in stored)]
    if unknown or not stored:
        names = ", ".join(f"{scorer.name} ({scorer.fingerprint[:8]})" for scorer in stored)
        raise InputError(
            expected=f"scorers with stored pairs in {store.folder} ({names or 'there are none'})",
            got=", ".join(unknown) or "nothing",
            remedy="choose from st-mta cache, name the store with --store, or score some pairs first (st-mta score); "
            "bi-encoders store embeddings instead of scores, and scores of lists are of use to their scorer alone",
        )
    return [scorer for scorer in stored if not wanted or any(_is_called(scorer, name) for name in wanted)]


def _is_called(scorer: StoredScorer, name: str) -> bool:
    return name in (scorer.name, public(scorer.name)) or (len(name) >= 4 and scorer.fingerprint.startswith(name))
