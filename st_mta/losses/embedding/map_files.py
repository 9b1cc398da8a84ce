"""A map between the spaces of student and teacher as a file."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from st_mta.atomic import atomic_path
from st_mta.errors import InputError, loading

FILE, MATRIX = "embedding_map.safetensors", "matrix"


def write_map(folder: Path | str, matrix: Tensor, kind: str) -> None:
    """Writes the matrix (D, d) and how it came about into the folder, as a file that appears whole."""
    with atomic_path(Path(folder) / FILE) as temporary:
        save_file({MATRIX: matrix.detach().cpu().contiguous()}, temporary, metadata={"map": kind})


def read_map(folder: Path | str) -> Tensor:
    """(D, d) what ``write_map`` wrote: a student's embeddings times its transpose lie in the teacher's space.

    Args:
        folder: The folder, or a file such as a run's ``regression-map.safetensors``.

    Raises:
        InputError: If there is no such file, or another one.
    """
    path = Path(folder) / FILE if Path(folder).is_dir() else Path(folder)
    with loading("a saved map between student and teacher", str(path), "give a folder that save_map wrote to"):
        tensors = load_file(path)
    if MATRIX not in tensors:
        raise InputError(
            expected=f"a matrix in {path}", got=", ".join(tensors) or "nothing", remedy="write it with save_map"
        )
    return tensors[MATRIX]
