"""One name for every source: the embedded collection, a folder, a known benchmark or a dataset of the Hub."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from st_mta.collections.beir import read_beir
from st_mta.collections.benchmarks import BENCHMARKS, GROUPS, Benchmark, of_dataset
from st_mta.collections.hub import read_hub
from st_mta.collections.layout import has_labels
from st_mta.collections.pydocs import pydocs
from st_mta.errors import InputError
from st_mta.types import Collection

logger = logging.getLogger(__name__)

DATA_VARIABLE = "ST_MTA_DATA"
"""Environment variable that names a folder of collections in the layout of BEIR."""


def load_collection(source: str | Path | Collection, *, data: str | Path | None = None) -> Collection:
    """Loads a collection by name.

    Args:
        source: In this order: a collection, which comes back as it is; "pydocs", the embedded collection; a folder in
            the layout of BEIR, or with a copy of a Hub dataset; the name of such a folder under ``data``; the name of
            a benchmark ("scifact"); the id of a Hub dataset ("mteb/scifact", with a language "mteb/name#en").
        data: The folder of local copies; ``$ST_MTA_DATA`` by default.

    Raises:
        InputError: If it is none of these, or what it names cannot be read. For a benchmark that is not there, it says
            what to download and where to put it.
    """
    if isinstance(source, Collection):
        return source
    collection = _reader(os.fspath(source), data)()
    for note in collection.notes:
        logger.info("%s: %s", collection.name, note)
    return collection


def refuse_unknown(sources: Iterable[str | Path | Collection], data: str | Path | None = None) -> None:
    """Raises what ``load_collection`` would for names that mean nothing, without reading what the others name."""
    for source in sources:
        if not isinstance(source, Collection):
            _reader(os.fspath(source), data)


def _reader(name: str, data: str | Path | None) -> Callable[[], Collection]:
    """What will read the collection of this name."""
    if name == "pydocs":
        return pydocs
    name, language = (name, "") if Path(name).exists() else name.partition("#")[::2]
    known = BENCHMARKS.get(name)
    for folder in (Path(name), *_local_copies(known.folders if known else (name,), data)):
        if folder.is_dir():
            return partial(_read_folder, folder, known, language)
    if known:
        return lambda: replace(_read_hub(known.dataset, known), name=known.name)
    if name.count("/") == 1 and not name.startswith((".", "~", "/")) and not name.endswith("/"):
        return partial(_read_hub, f"{name}#{language}" if language else name, of_dataset(name))
    raise InputError(
        expected=(
            f"'pydocs', a folder, a folder's name under ${DATA_VARIABLE}, a Hub dataset as 'mteb/scifact', "
            f"or one of {', '.join(BENCHMARKS)}"
        ),
        got=f"{name!r} (no folder of this name here, {DATA_VARIABLE} is {os.environ.get(DATA_VARIABLE) or 'not set'})",
        remedy=(
            f"it is a group: name its members ({', '.join(GROUPS[name])}), or give it to --benchmark"
            if name in GROUPS
            else "correct the name, or set the variable to the folder that holds your collections"
        ),
    )


def _read_hub(dataset_id: str, known: Benchmark | None) -> Collection:
    return read_hub(dataset_id, splits=known.splits if known else {})


def _local_copies(names: Iterable[str], data: str | Path | None) -> list[Path]:
    if data is not None and not Path(data).is_dir():
        raise InputError(
            expected="a folder of collections as data",
            got=f"{os.fspath(data)!r}, which is no folder",
            remedy="correct the path, or leave it out",
        )
    folder = data or os.environ.get(DATA_VARIABLE)
    return [Path(folder, name).expanduser() for name in names if name] if folder else []


def _read_folder(folder: Path, known: Benchmark | None, language: str) -> Collection:
    """A folder in the layout of BEIR, or a downloaded dataset of the Hub, whose card lists its configurations."""
    card = folder / "README.md"
    from_hub = card.is_file() and "config_name:" in card.read_text(encoding="utf-8", errors="replace")
    from_hub = from_hub and not has_labels(folder)
    if language and not from_hub:
        raise InputError(
            expected=f"a dataset of the Hub with several languages in {folder}",
            got=f"a folder in the layout of BEIR, and the language {language!r}",
            remedy="name the folder alone",
        )
    source = f"{folder}#{language}" if language else str(folder)
    collection = _read_hub(source, known) if from_hub else read_beir(folder)
    return replace(collection, name=known.name) if known else collection
