"""Tensors that a model computed inside, in parts that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from st_mta.stores.damage import rename_damaged
from st_mta.stores.parts import Verified, listed, write_part
from st_mta.stores.uses import Uses

SUFFIX = ".safetensors"
BETWEEN = "/"
OPEN_PARTS = 256  # parts whose headers stay in memory; their tensors are read where they are asked for


class TensorStore:
    """Named tensors under keys, kept in append-only parts; several processes may write at once.

    Args:
        folder: Holds a folder per room; a room is what may be mixed, such as one model's layers at one precision. A
            room's name begins with the model's fingerprint, then "/".
        uses: Notes which models are in use.
    """

    def __init__(self, folder: Path, uses: Uses | None = None) -> None:
        self.folder, self.uses = folder, uses
        self._parts_of: dict[str, dict[str, Path]] = {}
        self._verified = Verified()

    def missing(self, room: str, keys: Iterable[str]) -> list[str]:
        """The keys of which the room holds nothing whole, each once, in their order; damaged parts are renamed."""
        if self.uses is not None:
            self.uses.mark(room.split(BETWEEN, 1)[0])
        known, wanted = self._known(room), list(dict.fromkeys(keys))
        lost = {part for part in {known[key] for key in wanted if key in known} if not self._is_whole(part)}
        for key in [key for key, part in known.items() if part in lost]:
            del known[key]
        return [key for key in wanted if key not in known]

    def put(self, room: str, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Writes one part: key -> name -> tensor, of any shape and type.

        Raises:
            InputError: If the disk is full or cannot be written.
        """
        flat = {
            f"{key}{BETWEEN}{name}": tensor.detach().cpu().contiguous()
            for key, named in tensors.items()
            for name, tensor in named.items()
        }
        folder = self.folder / room
        path = folder / f"{write_part(folder, {SUFFIX: [save(flat)]})}{SUFFIX}"
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
            paths = [Path(entry.path) for entry in listed(self.folder / room, SUFFIX)]
            self._parts_of[room] = {key: path for path in paths for key in _keys_of(path)}
        return self._parts_of[room]

    def _is_whole(self, part: Path) -> bool:
        """Whether a part is still there and as it was written; one that is not is renamed."""
        try:
            problem = self._verified.problem(part)
        except FileNotFoundError:
            return False
        except OSError as error:
            problem = str(error)
        if problem:
            _set_aside(part, problem)
        return not problem


@lru_cache(maxsize=OPEN_PARTS)
def _open(path: Path) -> Any:
    return safe_open(path, framework="pt")


def _keys_of(path: Path) -> set[str]:
    """The keys of a part; none of one that something else damaged, so that it is computed again."""
    try:
        return {name.split(BETWEEN, 1)[0] for name in _open(path).keys()}
    except FileNotFoundError:
        return set()
    except (OSError, SafetensorError) as error:
        _set_aside(path, str(error))
        return set()


def _set_aside(part: Path, problem: str) -> None:
    rename_damaged([part], problem, "what it holds will be computed again")
