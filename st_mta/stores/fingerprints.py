"""Digests of models: two models with the same digest give the same scores."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch

# Facts about a file or a library, not about what the model computes.
INCIDENTAL = frozenset(
    "_name_or_path transformers_version architectures dtype torch_dtype auto_map use_cache "
    "_attn_implementation_autoset attn_implementation output_hidden_states output_attentions return_dict "
    "id2label label2id sentence_transformers __version__ base_model_name_or_path peft_version inference_mode "
    "auto_mapping revision".split()
)


def fingerprint_model(model: torch.nn.Module, **extra: Any) -> str:
    """Digest of everything the output of a host model depends on.

    It covers weights (names, dtypes, shapes, bytes), the configuration of every module and of the backbone, the
    tokenizer, prompts, maximum lengths and similarity, and whatever else is unusual about the model, such as the side
    on which texts are cut or attributes of a module of the user's own ([`st_mta.stores.peculiarities`]). It is the
    same for a model saved and loaded again, as far as the host saves what it depends on.

    Args:
        model: A ``SentenceTransformer``, ``CrossEncoder``, ``MultiVectorEncoder`` or any other ``nn.Module``.
        extra: What else the scores depend on (precision, activation), as JSON values.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=16)
    _update_with_weights(digest, model)
    description = {
        "modules": [_module_config(module) for module in model.children()],
        "backbone": _plain(getattr(getattr(model, "config", None), "to_dict", dict)()),
        "max_seq_length": getattr(model, "max_seq_length", None),
        "prompts": _plain({name: text for name, text in (getattr(model, "prompts", None) or {}).items() if text}),
        "default_prompt_name": getattr(model, "default_prompt_name", None),
        "similarity": str(getattr(model, "similarity_fn_name", None)),
        "truncate_dim": getattr(model, "truncate_dim", None),
        "tokenizer": _tokenizer_digest(getattr(model, "tokenizer", None)),
        "extra": _plain(extra),
    }
    if adapters := getattr(getattr(model, "transformers_model", None), "peft_config", None):
        description["adapters"] = _plain({name: adapter.to_dict() for name, adapter in adapters.items()})
    # Imported here: it takes the host, which most users of stores do without.
    from st_mta.stores.peculiarities import peculiarities

    if unusual := peculiarities(model):
        description["peculiarities"] = unusual
    digest.update(json.dumps(description, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def fingerprint_values(*values: Any) -> str:
    """Digest of JSON values, for scorers without weights (32 hexadecimal digits)."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _update_with_weights(digest: hashlib.blake2b, model: torch.nn.Module) -> None:
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        data = tensor.detach().contiguous().cpu().reshape(-1)
        digest.update(data.view(torch.uint8).numpy().data)


def _module_config(module: torch.nn.Module) -> list[Any]:
    get_config: Any = getattr(module, "get_config_dict", dict)
    return [type(module).__name__, _plain(get_config())]


def _plain(value: Any) -> Any:
    """The value as nested JSON, without what is incidental."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items() if str(key) not in INCIDENTAL}
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=str)
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _tokenizer_digest(tokenizer: Any) -> str | None:
    if tokenizer is None:
        return None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return fingerprint_values(sorted(getattr(tokenizer, "get_vocab", dict)().items()))
    description = json.loads(backend.to_str())
    # The last call's truncation and padding linger in there.
    return fingerprint_values(
        {key: value for key, value in description.items() if key not in ("truncation", "padding")}
    )
