"""The embedded default collection: Python's own documentation strings, which every installation brings along.

The summary sentence of a docstring is the query and the rest of the same docstring is its one relevant passage,
so training, tuning and testing work with no download. Source files are parsed, never imported.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import inspect
import os
import platform
import re
import sysconfig
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from st_mta.errors import InputError
from st_mta.types import Collection, Qrels, Texts

MIN_QUERY_WORDS, MAX_QUERY_WORDS = 3, 40
MIN_PASSAGE_WORDS = 12
TRAIN_SHARE, DEV_SHARE = 0.7, 0.1  # the remaining 20 percent are the test split
LARGE_MODULE = 0.03  # share of all pairs above which a module is never cut off for dev or test

# Installed packages, tables written by programs, and code that is there to test or to demonstrate.
SKIPPED_FOLDERS = frozenset(
    "__phello__ __pycache__ dist-packages encodings idlelib lib-dynload lib2to3 pydoc_data site-packages test tests "
    "turtledemo".split()
)

_DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_BRANCHES = (ast.If, ast.Try, ast.ExceptHandler, ast.With, ast.For, ast.While)

# Roles of reStructuredText, of which the text within stays; a signature before the summary, which goes; its end.
_ROLE = re.compile(r":[a-z][a-z:]*:`~?([^`<]+?)(?: <[^`>]*>)?`")
_SIGNATURE = re.compile(r"[\w.]+\([^()]*(?:\([^()]*\)[^()]*)*\)(?:\s*(?:->|=)\s*\S+)?\s*(?:--+|:|\n|$)")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])|\n\s*\n|\n(?=\s*>>>)")


class Pair(NamedTuple):
    """One docstring, cut in two."""

    name: str
    query: str
    passage: str

    @property
    def query_id(self) -> str:
        """Never equal to a passage id: evaluations leave a passage out whose id is that of the query."""
        return f"q:{self.name}"

    @property
    def top_level_module(self) -> str:
        """The part of the name that decides the split."""
        return self.name.partition(".")[0]


def pydocs(stdlib: Path | None = None) -> Collection:
    """Builds the default collection from the standard library of the running Python.

    Python 3.11 gives about 2,700 pairs. The content depends on the Python version and on nothing else:
    files are read in sorted order and a hash of the module's name decides its split.

    Args:
        stdlib: Folder with Python source files; the running interpreter's standard library when None.

    Returns:
        A collection with the splits "train", "dev" and "test" (about 70, 10 and 20 percent of the pairs). All pairs
        of a top-level module are in one split; the corpus holds the passages of all splits.

    Raises:
        InputError: If the folder holds no usable docstring, as in a Python shipped without its sources.
    """
    folder = Path(stdlib) if stdlib is not None else Path(sysconfig.get_paths()["stdlib"])
    with _cycle_collector_paused():
        pairs = _without_repeats(chain.from_iterable(_pairs_of_file(path, folder) for path in _source_files(folder)))
    if not pairs:
        raise InputError(
            expected="Python source files with documentation strings",
            got=f"none under {folder}",
            remedy="use a Python with its standard library in source form, or name another collection",
        )
    return Collection(
        name="pydocs",
        corpus=Texts([pair.name for pair in pairs], [pair.passage for pair in pairs]),
        queries=Texts([pair.query_id for pair in pairs], [pair.query for pair in pairs]),
        qrels=_qrels(pairs),
        licence="PSF-2.0",
        notes=(f"{len(pairs)} docstrings of the standard library of Python {platform.python_version()}.",),
    )


@contextmanager
def _cycle_collector_paused() -> Iterator[None]:
    """Saves a third of the time: a syntax tree is millions of objects without a cycle among them."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _source_files(folder: Path) -> list[Path]:
    """All source files, relative to the folder, sorted the same way on every system."""
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS]
        found += [Path(parent, name).relative_to(folder) for name in files if name.endswith(".py")]
    return sorted(found, key=Path.as_posix)


def _pairs_of_file(path: Path, folder: Path) -> Iterator[Pair]:
    try:
        with tokenize.open(folder / path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in the library's own code are not reported
            tree = ast.parse(file.read())
    except (SyntaxError, UnicodeDecodeError, OSError):
        return  # templates and deliberately broken files are among the sources of some distributions
    parts = path.with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    for name, docstring in _docstrings(tree, module):
        if pair := _cut(name, docstring):
            yield pair


def _docstrings(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    """Every docstring below a node with its qualified name, in the order of the source."""
    if isinstance(node, (ast.Module, *_DEFINITIONS)):
        if docstring := ast.get_docstring(node, clean=False):
            yield name, docstring
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _DEFINITIONS):
            yield from _docstrings(child, f"{name}.{child.name}")
        elif isinstance(child, _BRANCHES):
            yield from _docstrings(child, name)


def _cut(name: str, docstring: str) -> Pair | None:
    """Summary sentence and rest of a docstring; None if one has too few words or the rest repeats the summary."""
    text = _ROLE.sub(r"\1", inspect.cleandoc(docstring)).replace("`", "")
    if signature := _SIGNATURE.match(text):
        text = text[signature.end() :].lstrip()
    query, passage, *_ = [*(" ".join(part.split()) for part in _SENTENCE_END.split(text, maxsplit=1)), ""]
    enough = MIN_QUERY_WORDS <= len(query.split()) <= MAX_QUERY_WORDS and len(passage.split()) >= MIN_PASSAGE_WORDS
    return Pair(name, query, passage) if enough and query.lower().rstrip(".") not in passage.lower() else None


def _without_repeats(pairs: Iterator[Pair]) -> list[Pair]:
    """The pairs whose name, query and passage are all new; of repeats the first is kept."""
    seen: set[tuple[str, str]] = set()
    kept = []
    for pair in pairs:
        parts = set(pair._asdict().items())
        if seen.isdisjoint(parts):
            seen |= parts
            kept.append(pair)
    return kept


def _qrels(pairs: list[Pair]) -> dict[str, Qrels]:
    splits = _split_of_modules(pairs)
    return {
        split: {pair.query_id: {pair.name: 1} for pair in pairs if splits[pair.top_level_module] == split}
        for split in ("train", "dev", "test")
    }


def _split_of_modules(pairs: list[Pair]) -> dict[str, str]:
    """The split of each top-level module: modules in the order of a hash, cut at 70 and 80 percent of the pairs."""
    sizes = Counter(pair.top_level_module for pair in pairs)
    digests = {name: hashlib.blake2b(name.encode(), digest_size=16).digest() for name in sizes}
    # A very large module always trains: a split of which it made the better part would measure that module alone.
    order = sorted(sizes, key=lambda name: (sizes[name] <= LARGE_MODULE * len(pairs), digests[name]))
    splits, seen = {}, 0
    for module in order:
        share = (seen + sizes[module] / 2) / len(pairs)  # where the module's middle falls
        splits[module] = "train" if share < TRAIN_SHARE else "dev" if share < TRAIN_SHARE + DEV_SHARE else "test"
        seen += sizes[module]
    return splits
