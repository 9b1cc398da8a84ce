"""What the student was trained on and with, in the form of the host's template."""

from __future__ import annotations

import json
from textwrap import indent
from typing import Any

from torch import nn

from st_mta.hub.public import public
from st_mta.report.schema import Report


def training_data(report: Report, loss: nn.Module) -> dict[str, Any]:
    """The entry of the collection under "Training Dataset": name, size, columns, and the loss with its parameters."""
    collection = report["collection"]
    entry: dict[str, Any] = {
        "name": public(collection["name"]),
        "size": collection["queries"].get("train", 0),
        "columns": [
            "<code>query</code>",
            "<code>documents</code> (the candidates)",
            "<code>label</code> (the scores)",
        ],
        "loss": {"fullname": f"{type(loss).__module__}.{type(loss).__qualname__}"},
    }
    if hub_id := collection.get("hub_id"):
        entry["id"] = hub_id
    config: dict[str, Any] = getattr(loss, "get_config_dict", dict)()
    if config:
        entry["loss"]["config_code"] = indent(f"```json\n{json.dumps(config, indent=4, default=_named)}\n```", "  ")
    return entry


def _named(value: Any) -> str:
    """A module or function among a loss's parameters."""
    return str(getattr(value, "__name__", type(value).__name__))
