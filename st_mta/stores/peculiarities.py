"""What a model computes with besides its weights and configuration: nothing, for a model as the host makes it.

Only what is unusual is listed, so that the digest of an ordinary model is that of its weights and configuration, and
only what is exact: token ids, settings, sources, bytes. An output would differ in its last digits between machines.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import math
import types
from abc import ABC
from collections.abc import Iterator
from typing import Any, Generic

import numpy as np
import torch
from sentence_transformers import CrossEncoder
from torch import nn
from transformers import PreTrainedModel

from st_mta.stores.fingerprints import INCIDENTAL

KNOWN = ("torch", "transformers", "sentence_transformers", "tokenizers", "peft", "builtins", "st_mta")
"""Packages whose classes are told by their names; any other class counts by its source."""
IN_TRAINING_ONLY = ("training", "gradient_checkpointing", "p", "inplace", "layer_idx", "layer_id", "name_or_path")
"""Attributes of a backbone's modules that change no output."""
MODULE_STATE = frozenset(vars(nn.Module()))
TEXTS = ("", "Query: what does a BM25 score mean?", "Ärger um 1,5 kg <b>東京</b>\tmañana", "a\nb")
LONGEST_PROBE = 2**15  # words
DEEPEST = 8


def peculiarities(model: nn.Module) -> dict[str, Any]:
    """What is unusual about a model, as JSON; empty for one that is made and read as the host does it.

    Args:
        model: A model of the host, or any other module.

    Returns:
        How it reads texts where that is not as its tokenizer's file says; buffers that are not saved; attributes,
        hooks and sources of modules that are the user's own; modules of a backbone that are not those its
        configuration makes; the configuration of modules within modules.
    """
    backbones = dict(_backbones(model))
    inside = tuple(f"{name}." if name else "" for name in backbones)
    own = {
        name: module
        for name, module in model.named_modules()
        if name not in backbones and not (inside and name.startswith(inside))
    }
    found = {
        "reading": _reading(model),
        "buffers": {
            **_buffers(own),
            **{k: v for n, b in backbones.items() for k, v in _derived_buffers(n, b).items()},
        },
        "code": _foreign_code(model),
        "attributes": {name: _state(module) for name, module in own.items() if _is_foreign(type(module))},
        "backbones": {name: unlike for name, module in backbones.items() if (unlike := _unlike_config(module))},
        "nested": _nested(own, backbones),
    }
    return {name: value for name, value in found.items() if value}


def described(value: Any, seen: frozenset[int] = frozenset()) -> Any:
    """Any value as JSON that is the same in every process: bytes by their digest, functions by their source.

    Args:
        value: The value.
        seen: Objects that it lies in, so that a circle ends.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return _digest(torch.as_tensor(value))
    if isinstance(value, functools.partial):
        value = (value.func, value.args, value.keywords)
    if id(value) in seen or len(seen) > DEEPEST:
        return _class_name(type(value))
    seen |= {id(value)}
    if isinstance(value, dict):
        return {str(key): described(inner, seen) for key, inner in value.items() if str(key) not in INCIDENTAL}
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=str)
    if isinstance(value, (list, tuple)):
        return [described(inner, seen) for inner in value]
    if isinstance(value, (type, types.FunctionType, types.MethodType, types.BuiltinFunctionType)):
        return source_digest(value, seen)
    state = {} if isinstance(value, nn.Module) else getattr(value, "__dict__", {})
    return [_class_name(type(value)), described(state, seen)]


def source_digest(function: Any, seen: frozenset[int] = frozenset()) -> Any:
    """A function or class by its source and the values it holds (defaults, closure), or its name without a source."""
    function = inspect.unwrap(getattr(function, "__func__", function))
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = _class_name(function)
    held: list[Any] = [*(getattr(function, "__defaults__", None) or ())]
    held += (getattr(function, "__kwdefaults__", None) or {}).values()
    held += map(_content, getattr(function, "__closure__", None) or ())
    if isinstance(function, type):  # methods may come from elsewhere than the class's source
        held += [method for method in vars(function).values() if isinstance(method, types.FunctionType)]
    plain = [value for value in held if not isinstance(value, (nn.Module, types.ModuleType))]
    return [hashlib.blake2b(source.encode(), digest_size=16).hexdigest(), described(plain, seen | {id(function)})]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a function that names itself, while it is made
        return None


def _class_name(thing: Any) -> str:
    return str(getattr(thing, "__qualname__", type(thing).__qualname__))


def _is_foreign(kind: type) -> bool:
    return kind not in (ABC, Generic) and kind.__module__.partition(".")[0] not in KNOWN


def _digest(tensor: torch.Tensor) -> str:
    data = tensor.detach().contiguous().cpu().reshape(-1)
    shape = f"{tensor.dtype} {tuple(tensor.shape)}".encode()
    return hashlib.blake2b(shape + data.view(torch.uint8).numpy().tobytes(), digest_size=16).hexdigest()


def _backbones(model: nn.Module) -> Iterator[tuple[str, PreTrainedModel]]:
    """The outermost models of transformers, with their dotted names."""
    found: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, PreTrainedModel) and not any(name.startswith(f"{outer}.") for outer in found):
            found.append(name)
            yield name, module


def _state(module: nn.Module) -> Any:
    return described({key: value for key, value in vars(module).items() if key not in MODULE_STATE})


def _foreign_code(model: nn.Module) -> dict[str, Any]:
    """Sources of classes that are no part of the known packages, of hooks, and of methods that an object has anew."""
    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        kinds = [kind for kind in type(module).__mro__ if _is_foreign(kind)]
        hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
        methods = [
            value
            for key, value in vars(module).items()
            if callable(value) and callable(getattr(type(module), key, None))
        ]
        if code := [*map(source_digest, kinds), *map(described, (*hooks, *methods))]:
            found[name] = code
    return found


def _nested(own: dict[str, nn.Module], backbones: dict[str, Any]) -> dict[str, Any]:
    """Configurations of modules within modules (a Router's towers); those of the first level are described anyway."""
    modules: dict[str, Any] = {
        name: module for name, module in own.items() if "." in name and hasattr(module, "get_config_dict")
    }
    found: dict[str, Any] = {
        name: [type(module).__name__, described(module.get_config_dict())] for name, module in modules.items()
    }
    if found and len(backbones) > 1:
        found["sides"] = {name: _settings(getattr(module, "tokenizer", None)) for name, module in modules.items()}
    return found


def _buffers(modules: dict[str, nn.Module]) -> dict[str, str]:
    """Digests of the buffers that a module does not save."""
    return {
        f"{name}.{key}": _digest(module._buffers[key])  # type: ignore[arg-type]
        for name, module in modules.items()
        for key in sorted(module._non_persistent_buffers_set)
        if module._buffers.get(key) is not None
    }


def _derived_buffers(prefix: str, backbone: PreTrainedModel) -> dict[str, Any]:
    """Unsaved buffers of a backbone that are not what its configuration makes them."""
    found: dict[str, Any] = {}
    for name, module in backbone.named_modules():
        made = _made_anew(module) if module._non_persistent_buffers_set else {}
        for key in sorted(module._non_persistent_buffers_set):
            buffer = module._buffers.get(key)
            if buffer is not None and not _is_usual(buffer, made.get(key)):
                found[f"{prefix}.{name}.{key}"] = _coarse(buffer) if made.get(key) is None else _digest(buffer)
    return found


def _is_usual(buffer: torch.Tensor, made: torch.Tensor | None) -> bool:
    if made is not None:
        return made.shape == buffer.shape and torch.equal(made.to(buffer.dtype), buffer.cpu())
    if buffer.is_floating_point():
        return False
    flat = buffer.cpu().reshape(-1)
    return not flat.any() or torch.equal(flat, torch.arange(len(flat), dtype=flat.dtype))


def _coarse(buffer: torch.Tensor) -> list[Any]:
    """A computed buffer by statistics that no machine's last digits reach."""
    if not buffer.is_floating_point():
        return [_digest(buffer)]
    values = buffer.detach().double().abs()
    return [list(buffer.shape), *(f"{float(value):.2g}" for value in (values.mean(), values.max()))]


def _made_anew(module: nn.Module) -> dict[str, torch.Tensor]:
    """The float buffers of a module made from its configuration alone (frequencies of rotary positions)."""
    config, weighty = getattr(module, "config", None), next(module.parameters(), None) is not None
    if config is None or weighty or not any(buffer.is_floating_point() for buffer in module.buffers()):
        return {}
    if any(word in str(getattr(module, "rope_type", "")) for word in ("dynamic", "longrope")):
        return {name: buffer.cpu() for name, buffer in module.named_buffers()}  # they follow the longest text seen
    try:
        return dict(type(module)(config).named_buffers())
    except Exception:  # another signature
        return {}


def _unlike_config(backbone: PreTrainedModel) -> dict[str, Any]:
    """Modules and plain attributes of a backbone that its configuration does not make (an activation exchanged)."""
    try:
        with torch.device("meta"):
            usual = type(backbone)(backbone.config)
    except Exception:  # a class that cannot be made from its configuration
        return {}
    expected = {name: _plain_attributes(module) for name, module in usual.named_modules()}
    found: dict[str, Any] = {}
    for name, module in backbone.named_modules():
        if type(module).__module__.startswith("peft"):  # described by the adapter's configuration
            continue
        actual, usually = _plain_attributes(module), expected.get(name, {})
        if changed := {key: value for key, value in actual.items() if usually.get(key) != value}:
            found[name] = changed
    return found


def _plain_attributes(module: nn.Module) -> dict[str, Any]:
    kept = {
        key: value
        for key, value in vars(module).items()
        if type(value) in (bool, int, float, str)
        and not key.startswith("_")
        and key not in IN_TRAINING_ONLY
        and "dropout" not in key
    }
    kind = type(module).__name__
    return kept if kind == "Identity" or "Dropout" in kind else {**kept, "class": kind}


def _reading(model: nn.Module) -> dict[str, Any]:
    """How the model turns texts into tokens, where its tokenizer's own file and the longest input do not say it."""
    tokenizer = getattr(model, "tokenizer", None)
    if tokenizer is None or not hasattr(model, "preprocess"):
        return {}
    settings, texts = _settings(tokenizer), _probe_texts(model, tokenizer)
    read = _read_by_model(model, texts)
    if not settings and read == _read_by_tokenizer(model, tokenizer, texts):
        return {}
    return {**settings, "template": described(getattr(tokenizer, "chat_template", None)), "tokens": read}


def _settings(tokenizer: Any) -> dict[str, Any]:
    """Settings beside the tokenizer's file, where they are not the usual ones."""
    sides = {side: getattr(tokenizer, side, "right") for side in ("truncation_side", "padding_side")}
    found = {side: value for side, value in sides.items() if value != "right"}
    names, usual = (getattr(one, "model_input_names", None) for one in (tokenizer, type(tokenizer)))
    return found if names == usual else {**found, "inputs": described(names)}


def _probe_texts(model: nn.Module, tokenizer: Any) -> list[str]:
    """Fixed texts, and one of words of the vocabulary that is longer than the model reads."""
    try:
        size = len(tokenizer.get_vocab()) if not hasattr(tokenizer, "vocab_size") else tokenizer.vocab_size
        place = getattr(tokenizer, "convert_ids_to_tokens", None) or tokenizer.id_to_token
        words = [str(place(round(share * (size - 1) / 60))).strip("#▁Ġ[]<>") for share in range(61)]
    except Exception:  # a tokenizer of the user's own
        words = []
    words = [word for word in words if word] or list("abcdefg")
    limit = getattr(model, "max_seq_length", None)
    length = 64 if limit is None or math.isinf(limit) or limit > LONGEST_PROBE else int(limit) + 8
    return [*TEXTS, " ".join(words[index % len(words)] for index in range(length))]


def _read_by_model(model: Any, texts: list[str]) -> Any:
    """Digests of the whole numbers that the model makes of texts, of pairs of texts and in each role."""
    inputs: list[Any] = list(zip(texts, reversed(texts))) if isinstance(model, CrossEncoder) else texts
    read = {}
    for task in ("", "query", "document"):
        try:
            features = model.preprocess(inputs, **({"task": task} if task else {}))
        except Exception as error:  # a model that cannot read such texts reads none of them
            read[task] = {"error": type(error).__name__}
            continue
        read[task] = {
            name: _digest(values)
            for name, values in sorted(features.items())
            if isinstance(values, torch.Tensor) and not values.is_floating_point()
        }
    return read


def _read_by_tokenizer(model: Any, tokenizer: Any, texts: list[str]) -> Any:
    limit = getattr(model, "max_seq_length", None)
    texts_of_pairs = (texts, texts[::-1]) if isinstance(model, CrossEncoder) else (texts,)
    try:
        features = tokenizer(
            *texts_of_pairs,
            padding=True,
            truncation="longest_first",
            return_tensors="pt",
            max_length=None if limit is None or limit > 2**31 else int(limit),
        )
    except Exception:  # not a tokenizer of transformers
        return None
    alike = {name: _digest(values) for name, values in sorted(features.items())}
    return dict.fromkeys(("", "query", "document"), alike)
