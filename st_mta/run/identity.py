"""What a run depends on, written into its journal so that two different runs never share a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

from st_mta.atomic import atomic_write_text
from st_mta.errors import InputError
from st_mta.types import Collection, Scorer

WITHOUT_EFFECT = re.compile(
    "output_dir|overwrite_output_dir|run_name|project|report_to|disable_tqdm|log(ging)?_.*|trackio_.*|save_.*|push_to_hub.*"
    "|hub_.*|dataloader_(num_workers|pin_memory|persistent_workers|prefetch_factor)|resume_from_checkpoint"
    "|skip_memory_metrics|include_(num_input_tokens_seen|tokens_per_second)|local_rank|ddp_.*|use_cpu|precision"
    "|per_device_eval_batch_size|eval_accumulation_steps|do_(train|eval|predict)"
)
"""Arguments that change no weight; all others are part of a run's identity. What ``precision`` and ``use_cpu`` came
to stands there as ``bf16`` and ``device``."""

LATER = frozenset({"candidates"})
"""Options that runs may have been begun without: at their default they are left out, so that these resume."""


def run_identity(
    arguments: Any,
    settled: Mapping[str, Any],
    *,
    collection: Collection,
    teacher: Scorer,
    assistants: Iterable[Scorer],
    student: str,
) -> dict[str, Any]:
    """Everything the student depends on, as JSON.

    Args:
        arguments: Dataclass of the training arguments.
        settled: Values that take the place of arguments left open, and whatever else the result depends on.
        collection: With its fingerprint.
        teacher: With its fingerprint, like the assistants.
        assistants: In pool order.
        student: Fingerprint.
    """
    named = {
        field.name: value
        for field in fields(arguments)
        if field.init and not ((value := getattr(arguments, field.name)) == field.default and field.name in LATER)
    }
    kept = {name: value for name, value in named.items() if not WITHOUT_EFFECT.fullmatch(name)}
    models = {
        "collection": f"{collection.name} ({collection.fingerprint})",
        "teacher": f"{teacher.name} ({teacher.fingerprint})",
        "assistants": [f"{scorer.name} ({scorer.fingerprint})" for scorer in assistants],
        "student": student,
    }
    plain: dict[str, Any] = _plain({**models, **kept, **settled})
    return plain


def refuse_other_configuration(folder: Path, described: dict[str, Any]) -> None:
    """Keeps what models in a folder are made from in ``configuration.json``; what is new to it is added.

    Raises:
        InputError: If the folder was begun with something else.
    """
    path = folder / "configuration.json"
    folder.mkdir(parents=True, exist_ok=True)
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    changed = [name for name in described if name in kept and kept[name] != described[name]]
    if changed:
        raise InputError(
            expected=f"the configuration that {folder} was begun with",
            got=", ".join(f"{name}={described[name]!r} (was {kept[name]!r})" for name in changed),
            consequence="models of two configurations would stand side by side as if of one",
            remedy="name another output folder, or use the former options",
        )
    atomic_write_text(path, json.dumps({**kept, **described}, indent=2) + "\n")


def _plain(value: Any) -> Any:
    """JSON that is the same in every process: no addresses of objects in it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, Enum):
        return _plain(value.value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    attributes = {name: inner for name, inner in vars(value).items() if not name.startswith("_")}
    return {"class": f"{type(value).__module__}.{type(value).__qualname__}", **_plain(attributes)}
