"""Progress bars that stay silent on work shorter than two seconds."""

from __future__ import annotations

from tqdm.auto import tqdm


def progress(description: str, total: int, unit: str) -> tqdm:
    """A bar with rate and time left, shown once the work has lasted two seconds.

    Args:
        description: What is being done, as a short phrase ("Scoring with bm25").
        total: Number of units.
        unit: The unit's name ("pairs", "passages").
    """
    return tqdm(
        desc=description, total=total, unit=f" {unit}", unit_scale=True, delay=2, leave=False, dynamic_ncols=True
    )
