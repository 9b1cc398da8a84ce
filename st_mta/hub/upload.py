"""Publishes a finished run, or any list of files, as one commit in a repository that is made if missing."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi

from st_mta.hub.failures import check_repo_id, explained, find_token
from st_mta.hub.files import run_files
from st_mta.hub.search import PublishedFile, refuse_private

CARD = "README.md"
logger = logging.getLogger(__name__)


def upload(
    files: Iterable[PublishedFile],
    repo_id: str,
    *,
    repo_type: str,
    message: str,
    token: str | None = None,
    private: bool | None = None,
    exist_ok: bool = True,
    replace_card: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    endpoint: str | None = None,
) -> str:
    """Uploads the files as one commit: all of them or none.

    Args:
        files: What to upload.
        repo_id: owner/name.
        repo_type: "model" or "dataset".
        message: Of the commit.
        token: Of the Hub; by default the one this machine is logged in with.
        private: Whether a new repository is private; None leaves it to the owner's settings.
        exist_ok: Whether the repository may exist.
        replace_card: Whether a README.md that is already there is replaced (it may have been edited by hand).
        revision: Branch, made if missing; main by default.
        create_pr: Whether to open a pull request instead.
        endpoint: Address of the Hub, by default the public one or ``HF_ENDPOINT``.

    Returns:
        The address of the commit, or of the pull request.

    Raises:
        InputError: If the id is malformed, a file holds a secret or a folder of this machine, there is no token, it
            may not write there, or the connection fails.
    """
    check_repo_id(repo_id)
    token, files = find_token(token), [*files]
    refuse_private(files, [token])
    api = HfApi(endpoint=endpoint, token=token)
    with explained(repo_id, token):
        api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=exist_ok or create_pr)
        if revision is not None and not create_pr:
            api.create_branch(repo_id, repo_type=repo_type, branch=revision, exist_ok=True)
        if not replace_card and api.file_exists(repo_id, CARD, repo_type=repo_type, revision=revision):
            logger.info("The card of %s is kept; --replace-card (replace_model_card=True) replaces it.", repo_id)
            files = [file for file in files if file.path != CARD]
        commit = api.create_commit(
            repo_id,
            [CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=file.content) for file in files],
            commit_message=message,
            repo_type=repo_type,
            revision=revision,
            create_pr=create_pr,
        )
    return str(commit.pr_url or commit.commit_url)


def push_run(folder: str | Path, repo_id: str, *, message: str | None = None, **options: Any) -> str:
    """Publishes the student of a finished run with its card, and the evidence in the folder "distillation".

    Args:
        folder: The output folder of the run.
        repo_id: owner/name on the Hub.
        message: Of the commit.
        options: token, private, exist_ok, replace_card, revision, create_pr and endpoint, as for [`upload`].

    Returns:
        The address of the commit or pull request.

    Raises:
        InputError: If the run is not finished, or the Hub does not take it.
    """
    message = message or "Add the distilled student"
    return upload(run_files(folder, repo_id), repo_id, repo_type="model", message=message, **options)
