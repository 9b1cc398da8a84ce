"""What can go wrong between here and the Hub, as one message that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from st_mta.errors import InputError

LOGIN = "log in with hf auth login, or set HF_TOKEN to a token with write access (huggingface.co/settings/tokens)"
AGAIN = "check the network and repeat the command; files that have already arrived are not sent again"


def check_repo_id(repo_id: str) -> None:
    """Raises ``InputError`` unless the id has the form owner/name that the Hub accepts."""
    try:
        validate_repo_id(repo_id)
        reason = "" if repo_id.count("/") == 1 else "no owner"
    except HFValidationError as error:
        reason = str(error)
    if reason:
        raise InputError(
            expected="a repository as owner/name (letters, digits, '-', '_' and '.')",
            got=f"{repo_id!r} ({reason})",
            remedy="write, for example, --repo me/my-retriever",
        )


def find_token(token: str | None) -> str:
    """The token given, or the one this machine is logged in with; without one raises ``InputError``."""
    if found := token or get_token():
        return found
    raise InputError(expected="a token of the Hub", got="none", remedy=LOGIN)


@contextmanager
def explained(repo_id: str, token: str) -> Iterator[None]:
    """Turns whatever the Hub, its client or the network raises into one ``InputError`` that never shows the token."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # The client's own errors, those of its HTTP library (which has changed), the system's.
        # Without `from error`: the cause may hold the request with its headers.
        raise _failure(repo_id, error, " ".join(str(error).replace(token, "(token)").split())) from None


def _failure(repo_id: str, error: Exception, text: str) -> InputError:
    response = getattr(error, "response", None) if isinstance(error, HfHubHTTPError) else None
    status = getattr(response, "status_code", None)
    consequence = ""
    if status == 401:
        expected, got, remedy = "a token that the Hub knows", "401 Unauthorized", LOGIN
    elif status == 403:
        expected, got = f"a token that may write to {repo_id}", "403 Forbidden"
        remedy = "use a token with write access to this owner, or publish under another name"
    elif isinstance(error, OfflineModeIsEnabled):
        expected, got = "a connection to the Hub", "offline mode (HF_HUB_OFFLINE)"
        remedy = "unset HF_HUB_OFFLINE, or add --dry-run to see what would be published"
    elif status is None and not isinstance(error, ValueError):
        expected = "a connection to the Hub that lasts until the upload is complete"
        got = f"{type(error).__name__}: {text}"
        consequence, remedy = "half of it would be published (a push is one commit, so nothing was)", AGAIN
    else:
        expected, got = f"the Hub to accept the upload to {repo_id}", f"{status or type(error).__name__}: {text}"
        remedy = "correct what the message names, or try later"
    return InputError(expected=expected, got=got, consequence=consequence, remedy=remedy)
