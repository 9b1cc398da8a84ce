"""What a working copy of a host model is given before it computes: prompts, and a token to pad batches with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from st_mta.errors import InputError

ROLES = ("query", "document")
ALIASES = {"document": ("passage", "corpus")}
"""Other names under which the host looks for a role's prompt, where there is none under its own."""


def check_prompts(prompts: Mapping[str, str] | None, roles: tuple[str, ...] = ROLES) -> dict[str, str]:
    """The prompts of a user by role.

    Raises:
        InputError: If they are not texts by these roles.
    """
    if prompts is None:
        return {}
    if not isinstance(prompts, Mapping) or not all(isinstance(text, str) for text in prompts.values()):
        found = repr(prompts)
    elif unknown := [str(role) for role in prompts if role not in roles]:
        found = f"one for {', '.join(unknown)}"
    else:
        return dict(prompts)
    raise InputError(
        expected=f"prompts as a mapping from {' and '.join(roles)} to texts",
        got=found,
        remedy="write prompts={"
        + ", ".join(f'"{role}": "..."' for role in roles)
        + "}, or leave out what is as saved",
    )


def set_prompts(model: Any, prompts: Mapping[str, str]) -> None:
    """Sets the prompts of some roles; others stay as the model was saved with them.

    Args:
        model: A model of the host, changed in place.
        prompts: Texts by role; an empty one switches a prompt off.
    """
    for role, text in prompts.items():
        kept = {name: prompt for name, prompt in model.prompts.items() if name not in (role, *ALIASES.get(role, ()))}
        model.prompts = {**kept, role: text}


def set_padding(model: Any) -> None:
    """Gives a model whose tokenizer has no token to pad with one that no text ends with.

    Attention does not see padding, but a classifier over a causal model finds the last token by it.

    Args:
        model: A model of the host, changed in place.
    """
    tokenizer: Any = getattr(model, "tokenizer", None)
    if not hasattr(tokenizer, "pad_token_id") or tokenizer.pad_token_id is not None:
        return
    last = (tokenizer.encode("a") or [None])[-1]
    special = tokenizer.eos_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id
    usable = [token for token in special if token is not None and token != last]
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(usable[0] if usable else 0)
    config = getattr(model, "config", None)
    if config is not None and config.get_text_config().pad_token_id is None:
        config.get_text_config().pad_token_id = tokenizer.pad_token_id
