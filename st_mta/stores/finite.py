"""The last look at numbers before they are stored permanently."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from st_mta.errors import InputError


def check_finite(what: str, values: npt.NDArray[np.floating], place: Callable[[int], str]) -> None:
    """Raises ``InputError`` if some values, (n,) or (n, D), are NaN or infinite; ``place`` names the n-th row."""
    broken = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if len(broken):
        raise InputError(
            expected=f"finite {what}",
            got=f"{len(broken)} of {len(values)} with NaN or infinite values, the first for {place(int(broken[0]))}",
            consequence="they would stay in the store and turn losses into NaN",
            remedy="check the model's weights and, on a GPU, try precision='fp32'; what was stored before stays",
        )
