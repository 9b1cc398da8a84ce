"""Publishes a finished run: the student, its card and the evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from st_mta.hub.files import run_files
from st_mta.hub.upload import upload


def push_run(folder: str | Path, repo_id: str, *, message: str | None = None, **options: Any) -> str:
    """Publishes the student of a finished run with its card, and the evidence in the folder "distillation".

    Args:
        folder: The output folder of the run.
        repo_id: owner/name on the Hub.
        message: Of the commit.
        options: token, private, exist_ok, replace_card, revision, create_pr and endpoint, as for
            [`st_mta.hub.upload.upload`].

    Returns:
        The address of the commit or pull request.

    Raises:
        InputError: If the run is not finished, or the Hub does not take it.
    """
    message = message or "Add the distilled student"
    return upload(run_files(folder, repo_id), repo_id, repo_type="model", message=message, **options)
