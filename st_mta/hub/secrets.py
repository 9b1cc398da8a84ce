"""Secrets among options, in texts and in the environment: found by the names of options, and by their form."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from huggingface_hub import get_token

_WORDS = "token|key|secret|password|passwd|passphrase|pwd|credential|authorization"
SECRET = re.compile(rf"((^|[_.-])({_WORDS})|api_?key|(?-i:Token|Key|Secret|Password))s?$", re.IGNORECASE)
"""Names of options whose values stay private, such as ``hub_token``, ``WANDB_API_KEY`` and ``secretKey``."""
ASSIGNED = re.compile(rf"([\w.-]*(?:{_WORDS})s?)(\s*[=:]\s*)([^\s,;&\"']+)", re.IGNORECASE)
"""Name, sign and value of an option within a text, as in ``optim_args="api_key=...,lr=1"``."""
TOKEN = re.compile(
    r"\bhf_(?:oauth_|jwt_)?[A-Za-z0-9]{16,}|\bapi_org_[A-Za-z]{16,}|\bsk-[A-Za-z0-9_-]{20,}"
    r"|\b(?:gh[pousr]|github_pat|glpat)[_-][A-Za-z0-9_]{20,}|\bAKIA[0-9A-Z]{16}\b"
)
"""Tokens that are known by their form: of the Hub, OpenAI and its like, GitHub, GitLab and AWS."""
LOGIN = re.compile(r"(?<=://)[^/\s:@\"'<>]*:[^/\s@\"'<>]+@")
"""User and password of an address."""
BLANKED = "(token)"
SHORTEST = 8
"""Characters of a secret; shorter values of variables would be found in every text."""


def without_secrets(value: Any) -> Any:
    """Nested options without those that are secret by their name, also inside JSON in a string; tokens are blanked."""
    if isinstance(value, dict):
        return {name: without_secrets(inner) for name, inner in value.items() if not SECRET.search(str(name))}
    if isinstance(value, (list, tuple)):
        return [without_secrets(inner) for inner in value]
    if not isinstance(value, str):
        return value
    with suppress(ValueError):
        if isinstance(parsed := json.loads(value), (dict, list)):
            return json.dumps(without_secrets(parsed))
    return blanked(ASSIGNED.sub(_without_value, value))


def blanked(text: str) -> str:
    """The text without tokens of a known form, and without the logins of addresses."""
    return TOKEN.sub(BLANKED, LOGIN.sub("", text))


def _without_value(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}{BLANKED}" if SECRET.search(found[1]) else found[0]


def secrets_of(value: Any) -> set[str]:
    """The secrets among nested options: what [`without_secrets`] leaves out, and tokens within texts."""
    if isinstance(value, dict):
        hidden = {inner for name, inner in value.items() if isinstance(inner, str) and SECRET.search(str(name))}
        return {text for text in hidden if len(text) >= SHORTEST}.union(*map(secrets_of, value.values()))
    if isinstance(value, (list, tuple)):
        return set().union(*map(secrets_of, value))
    if not isinstance(value, str):
        return set()
    with suppress(ValueError):
        if isinstance(parsed := json.loads(value), (dict, list)):
            return secrets_of(parsed)
    given = {found[3] for found in ASSIGNED.finditer(value) if SECRET.search(found[1])}
    logins = {found[0][:-1].partition(":")[2] for found in LOGIN.finditer(value)}
    return {text for text in given | logins if len(text) >= SHORTEST}


def secrets_here(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The secrets of this machine, each with where it stands: variables by their names, and the Hub's login."""
    found = {value: f"the value of {name}" for name, value in environment.items() if _is_secret(name, value)}
    login = get_token()
    return ({login: "the token this machine is logged in with"} if login else {}) | found


def _is_secret(name: str, value: str) -> bool:
    """Whether a variable holds a secret that can be searched for: no common word, and not the path of a key's file."""
    common = value.isalpha() and value.islower()
    return bool(SECRET.search(name)) and len(value) >= SHORTEST and not common and not re.search(r"[\s/\\]", value)
