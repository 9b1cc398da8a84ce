"""Tensors that a model computed inside, in parts that appear whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from st_mta.atomic import atomic_path

SUFFIX = ".safetensors"
BETWEEN = "/"
OPEN_PARTS = 256  # parts whose headers stay in memory; their tensors are read where they are asked for


class TensorStore:
    """Named tensors under keys, kept in append-only parts; several processes may write at once.

    Args:
        folder: Holds a folder per room; a room is what may be mixed, such as one model's layers at one precision.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts_of: dict[str, dict[str, Path]] = {}

    def missing(self, room: str, keys: Iterable[str]) -> list[str]:
        """The keys of which the room holds nothing, each once, in their order."""
        known = self._known(room)
        return [key for key in dict.fromkeys(keys) if key not in known]

    def put(self, room: str, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Writes one part: key -> name -> tensor, of any shape and type."""
        path = self.folder / room / f"part-{uuid.uuid4().hex}{SUFFIX}"
        flat = {
            f"{key}{BETWEEN}{name}": tensor.detach().cpu().contiguous()
            for key, named in tensors.items()
            for name, tensor in named.items()
        }
        with atomic_path(path) as temporary:
            save_file(flat, temporary)
        self._known(room).update(dict.fromkeys(tensors, path))

    def get(self, room: str, keys: Sequence[str], names: Sequence[str]) -> dict[str, list[Tensor]]:
        """Name -> the tensors of these keys, in their order.

        Raises:
            KeyError: If the room does not hold a key; ask ``missing`` first.
        """
        known = self._known(room)
        parts = [_open(known[key]) for key in keys]
        return {name: [part.get_tensor(f"{key}{BETWEEN}{name}") for key, part in zip(keys, parts)] for name in names}

    def forget(self) -> None:
        """Looks at the folder anew, after something was deleted."""
        self._parts_of.clear()
        _open.cache_clear()

    def _known(self, room: str) -> dict[str, Path]:
        """Key -> part; what other processes wrote since the first look is not seen."""
        if room not in self._parts_of:
            paths = sorted((self.folder / room).glob(f"part-*{SUFFIX}"))
            self._parts_of[room] = {key: path for path in paths for key in _keys_of(path)}
        return self._parts_of[room]


@lru_cache(maxsize=OPEN_PARTS)
def _open(path: Path) -> Any:
    return safe_open(path, framework="pt")


def _keys_of(path: Path) -> set[str]:
    """The keys of a part; none of one that something else damaged, so that it is computed again."""
    try:
        return {name.split(BETWEEN, 1)[0] for name in _open(path).keys()}
    except (OSError, SafetensorError):
        return set()
