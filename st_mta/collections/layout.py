"""Which file of a folder is what: corpus, queries, the judgements of each split, and what is left unread.

No file that could hold labels is passed over in silence: its queries would be taken for unlabelled ones, and trained
on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from st_mta.collections.assemble import SPLIT_NAMES
from st_mta.errors import InputError

LABEL_SUFFIXES = (".tsv", ".txt", ".csv", ".qrels", ".trec")
"""Endings of files of judgements in ``qrels/``, in any case and with or without ``.gz``."""
SPLITS = ("train", "dev", "test")
LABELS = r"(qrels?|labels?|judge?ments?|relevance)"
LABEL_LIKE = re.compile(rf"({LABELS}|.*[._ -]{LABELS})([._ -].*)?|({'|'.join([*SPLITS, *SPLIT_NAMES])})([._ -].*)?")
TRAINING = re.compile(r"(?i)(^|[._ -])train(ing)?([._ -]|$)")
GENERATED = re.compile(rf".+-{LABELS}")  # "gen-qrels" belongs to "gen-queries.jsonl"; beir reads them when asked to
DATA = re.compile(
    r"(?i)\.(jsonl?|[ct]sv|txt|qrels?|trec|parquet|arrow|xml|xlsx?|pkl|zip|tar|tgz)(\.(gz|bz2|xz|zst))?$"
)
NO_DATA = re.compile(
    r"(?i)(readme|licen[cs]e|copying|notice)\b.*|.*(\.(md|rst|py|sh|log|md5|sha\d*|bak|orig|old|swp)|~)$"
)


@dataclass(frozen=True)
class Layout:
    """The files of a folder in the layout of BEIR.

    Attributes:
        corpus: The passages.
        queries: The queries, None where there are none.
        qrels: Split name -> judgements; train first, then dev, test and all others by name.
        notes: Files that hold something else, in sentences.
    """

    corpus: Path
    queries: Path | None
    qrels: dict[str, Path]
    notes: tuple[str, ...]


def layout_of(folder: Path) -> Layout:
    """Looks through a folder; names are read in any case, and dot files are no data.

    Raises:
        InputError: If there is no corpus, two files are for one purpose, or a file that could hold labels lies where
            it is not read or in a form that is not read.
    """
    entries = _visible(folder)
    corpus, queries = (_one(name, _named(f"{name}.jsonl", entries)) for name in ("corpus", "queries"))
    if corpus is None:
        _refuse_no_corpus(folder, entries)
    folders = [path for path in entries if path.is_dir() and path.name.lower() == "qrels"]
    labels, unread = _label_files([file for path in folders for file in _visible(path)])
    others = [path for path in entries if path not in (corpus, queries, *folders)]
    if queries is None and (lost := [path for path in others if _is_data_of("quer|topic|question", path)]):
        raise InputError(
            expected=f"queries in {folder / 'queries.jsonl'}",
            got=f"only {_names(lost, folder)}",
            consequence="the collection would have no queries",
            remedy='write one {"_id": ..., "text": ...} on each line of queries.jsonl, or move the file away',
        )
    _refuse_misplaced([path for path in others if LABEL_LIKE.fullmatch(path.name.lower()) and _may_be_labels(path)])
    unread += [file for path in others if path.is_dir() for file in _labels_in(path)]
    unread += [path for path in others if DATA.search(path.name) or GENERATED.fullmatch(path.name.lower())]
    notes = [f"Not read: {_names(unread, folder)}."] if unread else []
    _refuse_misplaced([path for split, path in labels.items() if "train" not in labels and TRAINING.search(split)])
    strange = [f"{path.relative_to(folder)} ({split})" for split, path in labels.items() if split not in SPLITS]
    notes += [f"Judgements of other splits than {', '.join(SPLITS)}: {', '.join(strange)}."] if strange else []
    return Layout(corpus, queries, labels, tuple(notes))


def has_labels(folder: Path) -> bool:
    """Whether judgements lie in ``qrels/`` as files that are read from there."""
    folders = [path for path in _visible(folder) if path.is_dir() and path.name.lower() == "qrels"]
    return any(_split_of(file) for path in folders for file in _visible(path))


def _visible(folder: Path) -> list[Path]:
    """Entries by name, without those that an archive program or a desktop has left."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))


def _named(name: str, entries: list[Path]) -> list[Path]:
    return [path for path in entries if path.name.lower().removesuffix(".gz") == name and not path.is_dir()]


def _one(purpose: str, files: list[Path]) -> Path | None:
    if len(files) < 2:
        return files[0] if files else None
    raise InputError(
        expected=f"one file for {purpose}",
        got=" and ".join(map(str, files)),
        consequence="one of them would be ignored",
        remedy="move away the one that does not count",
    )


def _split_of(file: Path) -> str | None:
    """The split that the name of a file of judgements stands for; None where it is no such file."""
    name = file.name.lower().removesuffix(".gz")
    ending = next((ending for ending in LABEL_SUFFIXES if name.endswith(ending)), None)
    if ending is None or file.is_dir() or NO_DATA.fullmatch(name):
        return None
    split = file.name[: len(name) - len(ending)]
    return SPLIT_NAMES.get(split.lower(), split.lower() if split.lower() in SPLITS else split)


def _label_files(files: list[Path]) -> tuple[dict[str, Path], list[Path]]:
    """Split -> file, and what is no file of judgements."""
    of_split: dict[str, list[Path]] = {}
    unread = []
    for file in files:
        if split := _split_of(file):
            of_split.setdefault(split, []).append(file)
        elif NO_DATA.fullmatch(file.name):
            unread.append(file)
        else:
            _refuse_misplaced([file])
    order = dict.fromkeys((*SPLITS, *sorted(of_split)))
    chosen = {split: _one(f"the split {split!r}", of_split[split]) for split in order if split in of_split}
    return {split: file for split, file in chosen.items() if file}, unread


def _may_be_labels(path: Path) -> bool:
    """Folders and data files; a program called train.py or a note called labels.md holds none."""
    name = path.name.lower()
    if GENERATED.fullmatch(name):
        return False
    return path.is_dir() and bool(re.fullmatch(LABELS, name)) or not path.is_dir() and not NO_DATA.fullmatch(name)


def _labels_in(folder: Path) -> list[Path]:
    """What a folder of another name directly holds and could be labels."""
    try:
        files = [path for path in _visible(folder) if DATA.search(path.name) and not path.is_dir()]
    except OSError:  # a folder of somebody else
        return []
    return [path for path in files if LABEL_LIKE.fullmatch(path.name.lower()) and _may_be_labels(path)]


def _refuse_misplaced(paths: list[Path]) -> None:
    if not paths:
        return
    raise InputError(
        expected="judgements in qrels/<split> with one of the endings "
        f"{', '.join(LABEL_SUFFIXES)} (with or without .gz), one file for each split",
        got=" and ".join(map(str, paths)),
        consequence="its labels would be ignored, and its queries trained on",
        remedy="move it to a file such as qrels/test.tsv (query id, passage id and grade, separated by tabs), or out "
        "of the folder if it holds no labels",
    )


def _refuse_no_corpus(folder: Path, entries: Iterable[Path]) -> NoReturn:
    similar = [path for path in entries if _is_data_of("corpus|collection|passage|document|docs", path)]
    raise InputError(
        expected=f"a file corpus.jsonl or corpus.jsonl.gz in {folder}",
        got=f"no such file, but {_names(similar, folder)}" if similar else "no such file",
        remedy="name the folder that directly holds corpus.jsonl, queries.jsonl and qrels/"
        + ('; write one {"_id": ..., "title": ..., "text": ...} on each line of corpus.jsonl' if similar else ""),
    )


def _is_data_of(words: str, path: Path) -> bool:
    """Whether the name of a file or folder speaks of these, and ends as data does."""
    return bool(re.search(words, path.name.lower())) and (path.is_dir() or bool(DATA.search(path.name)))


def _names(paths: Iterable[Path], folder: Path) -> str:
    return ", ".join(str(path.relative_to(folder)) for path in paths)
