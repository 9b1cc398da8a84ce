"""Names within Markdown: shown as they are, never taken for markup."""

from __future__ import annotations

import re
from typing import Any

from st_mta.visible import visible

SIGNS = re.compile(r"[\\\[\]`*$]|^[#>+-]|~~")


def in_markdown(text: str) -> str:
    """The text as Markdown that shows just this text, on one line."""
    text = visible(text).replace("\n", " ").replace("&", "&amp;").replace("<", "&lt;")
    return SIGNS.sub(lambda found: f"\\{found[0]}", text)


def in_code(text: str) -> str:
    """The text for between backticks."""
    return visible(text).replace("\n", " ").replace("`", "'")


def values_in_markdown(value: Any) -> Any:
    """Nested JSON with every string in it as by [`in_markdown`], keys included."""
    if isinstance(value, dict):
        return {in_markdown(str(name)): values_in_markdown(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [values_in_markdown(inner) for inner in value]
    return in_markdown(value) if isinstance(value, str) else value
