"""One name for every source: the embedded collection, a folder, a known benchmark or a dataset of the Hub."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from st_mta.collections.beir import read_beir
from st_mta.collections.hub import read_hub
from st_mta.collections.pydocs import pydocs
from st_mta.errors import InputError
from st_mta.types import Collection

DATA_VARIABLE = "ST_MTA_DATA"
"""Environment variable that names a folder of collections in the layout of BEIR."""

# The benchmark BEIR: its names, and where the Hub has them in a form that every release of `datasets` reads.
BENCHMARKS = {
    "arguana": "mteb/arguana",
    "climate-fever": "mteb/climate-fever",
    "cqadupstack-android": "mteb/cqadupstack-android",
    "cqadupstack-english": "mteb/cqadupstack-english",
    "cqadupstack-gaming": "mteb/cqadupstack-gaming",
    "cqadupstack-gis": "mteb/cqadupstack-gis",
    "cqadupstack-mathematica": "mteb/cqadupstack-mathematica",
    "cqadupstack-physics": "mteb/cqadupstack-physics",
    "cqadupstack-programmers": "mteb/cqadupstack-programmers",
    "cqadupstack-stats": "mteb/cqadupstack-stats",
    "cqadupstack-tex": "mteb/cqadupstack-tex",
    "cqadupstack-unix": "mteb/cqadupstack-unix",
    "cqadupstack-webmasters": "mteb/cqadupstack-webmasters",
    "cqadupstack-wordpress": "mteb/cqadupstack-wordpress",
    "dbpedia-entity": "mteb/dbpedia",
    "fever": "mteb/fever",
    "fiqa": "mteb/fiqa",
    "hotpotqa": "mteb/hotpotqa",
    "msmarco": "mteb/msmarco",
    "nfcorpus": "mteb/nfcorpus",
    "nq": "mteb/nq",
    "quora": "mteb/quora",
    "scidocs": "mteb/scidocs",
    "scifact": "mteb/scifact",
    "trec-covid": "mteb/trec-covid",
    "webis-touche2020": "mteb/touche2020",
}


def load_collection(source: str | Path | Collection) -> Collection:
    """Loads a collection by name.

    Args:
        source: In this order: a collection, which comes back as it is; "pydocs", the embedded collection; a folder in
            the layout of BEIR; the name of such a folder under ``$ST_MTA_DATA``; the name of a BEIR benchmark
            ("scifact"); the id of a Hub dataset ("mteb/scifact").

    Raises:
        InputError: If it is none of these, or what it names cannot be read.
    """
    if isinstance(source, Collection):
        return source
    name = os.fspath(source)
    if name == "pydocs":
        return pydocs()
    for folder in (Path(name), *_local_copies(name)):
        if folder.is_dir():
            return read_beir(folder)
    if name in BENCHMARKS:
        return replace(read_hub(BENCHMARKS[name]), name=name)
    if name.count("/") == 1 and not name.startswith((".", "~", "/")) and not name.endswith("/"):
        return read_hub(name)
    raise InputError(
        expected=(
            f"'pydocs', a folder, a folder's name under ${DATA_VARIABLE}, a Hub dataset as 'mteb/scifact', "
            f"or one of {', '.join(BENCHMARKS)}"
        ),
        got=f"{name!r} (no folder of this name here, {DATA_VARIABLE} is {os.environ.get(DATA_VARIABLE) or 'not set'})",
        consequence="there would be nothing to train or evaluate on",
        remedy="correct the name, or set the variable to the folder that holds your collections",
    )


def _local_copies(name: str) -> list[Path]:
    data = os.environ.get(DATA_VARIABLE)
    return [Path(data, name)] if data and name else []
