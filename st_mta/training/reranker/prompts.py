"""The prompt of a cross-encoder, which stands before the query of every pair."""

from __future__ import annotations

from sentence_transformers import CrossEncoder

from st_mta.errors import InputError

QUERY = "query"


def prompt_of(student: CrossEncoder) -> str | None:
    """The prompt that ``predict`` uses."""
    return (student.prompts or {}).get(student.default_prompt_name or "")


def set_prompt(student: CrossEncoder, prompts: str | dict[str, str] | None) -> None:
    """Makes the ``prompts`` of training arguments the student's own, so that it is used as it is trained.

    Args:
        student: Changed in place.
        prompts: A text, or a text for "query".

    Raises:
        InputError: If a prompt is for another column.
    """
    if not prompts:
        return
    given = {QUERY: prompts} if isinstance(prompts, str) else dict(prompts)
    if unknown := sorted(given.keys() - {QUERY}):
        raise InputError(
            expected="prompts as one text, or for 'query' alone: a cross-encoder reads pairs",
            got=f"one for {unknown[0]!r}",
            remedy="leave it out",
        )
    student.prompts = {**(student.prompts or {}), **given}
    student.default_prompt_name = QUERY
