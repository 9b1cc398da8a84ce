"""What the student was trained on and with, in the form of the host's template."""

from __future__ import annotations

import json
from textwrap import indent
from typing import Any

from st_mta.hub.public import public, public_values
from st_mta.report.schema import Report, TrainedLoss


def training_data(report: Report, loss: TrainedLoss) -> dict[str, Any]:
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
        "loss": {"fullname": loss["class"]},
    }
    if hub_id := collection.get("hub_id"):
        entry["id"] = hub_id
    if loss["config"]:
        code = json.dumps(public_values(loss["config"]), indent=4, ensure_ascii=False)
        entry["loss"]["config_code"] = indent(f"```json\n{code}\n```", "  ")
    return entry
