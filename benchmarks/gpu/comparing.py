"""How far numbers computed on a device are from those of the CPU in fp32."""

from __future__ import annotations

from typing import Any

import numpy as np

TOLERANCES = {
    "embeddings": {"fp32": 1e-5, "bf16": 3e-2},
    "logits": {"fp32": 1e-4, "bf16": 5e-2},
    "late interaction": {"fp32": 1e-5, "bf16": 3e-2},
    "sparse": {"fp32": 1e-4, "bf16": 5e-2},
    "loss": {"fp32": 1e-4, "bf16": 5e-2},
    "gradient": {"fp32": 1e-3, "bf16": 2e-1},
    "packed": {"fp32": 1e-5, "bf16": 3e-2},
}
"""The largest relative difference (of norms) that rounding explains, by what is compared and the number format."""


def compared(what: str, precision: str, found: Any, expected: Any) -> dict[str, Any]:
    """A row: the relative difference, the largest one of a number, and whether it is within the tolerance.

    Args:
        what: A key of [`TOLERANCES`].
        precision: "fp32" or "bf16", of what was computed on the device.
        found: Any array.
        expected: The CPU's, in fp32.
    """
    found, expected = (np.asarray(values, dtype=np.float64) for values in (found, expected))
    if found.shape != expected.shape:
        return {"relative": None, "largest": None, "tolerance": None, "within": False}
    difference = found - expected
    relative = float(np.linalg.norm(difference)) / max(float(np.linalg.norm(expected)), 1e-30)
    tolerance = TOLERANCES[what][precision]
    return {
        "relative": relative,
        "largest": float(np.abs(difference).max(initial=0.0)),
        "tolerance": tolerance,
        "within": bool(relative <= tolerance),  # false for what is no number
    }
