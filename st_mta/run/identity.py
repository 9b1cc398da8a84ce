"""What a run depends on, written into its journal so that two different runs never share a folder."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from st_mta.atomic import atomic_write_text
from st_mta.errors import InputError
from st_mta.stores.fingerprints import fingerprint_model
from st_mta.types import Collection

METHOD = (
    "num_iterations patience num_candidates range_min range_max sampling_strategy queries_per_iteration hard_queries "
    "curriculum filter_false_negatives filter_margins num_crops calibration fusion combinations selection select_per "
    "target_entropy alpha alpha_end contrastive_weight scale regression_epochs regression_learning_rate "
    "regression_batch_size regression_max_texts regression_weight dropout max_length precision documents_per_forward "
    "eval_depth max_eval_queries per_device_train_batch_size learning_rate num_train_epochs max_steps seed "
    "weight_decay lr_scheduler_type warmup_steps gradient_accumulation_steps max_grad_norm bf16 fp16"
).split()
"""Arguments that change the student; the others (logging, saving, pushing) may differ when a run goes on."""


def run_configuration(
    arguments: Any,
    collection: Collection,
    pool: Any,
    student: SentenceTransformer,
) -> dict[str, Any]:
    """Arguments of the method and fingerprints of everything that came in, as JSON."""
    known = {field.name for field in fields(arguments)}
    return {
        "collection": f"{collection.name} ({collection.fingerprint})",
        "teacher": f"{pool.teacher.name} ({pool.teacher.fingerprint})",
        "assistants": [f"{scorer.name} ({scorer.fingerprint})" for scorer in pool.assistants],
        "student": fingerprint_model(student),
        **{name: _plain(getattr(arguments, name)) for name in METHOD if name in known},
    }


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
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(getattr(value, "value", value))
