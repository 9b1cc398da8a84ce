"""What of a finished run is published: the student, its card and the evidence, and under which names."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import yaml

from st_mta.errors import InputError
from st_mta.hub.failures import check_repo_id
from st_mta.hub.public import HUB_TOKEN, local_paths, public, strings_of, without_secrets
from st_mta.names import file_name

EVIDENCE = "distillation"
"""Folder of the evidence in the published repository."""
CONFIG = "config.yaml"
EVIDENCE_FILES = ("report.json", "report.md", "report.html", CONFIG, "plots/*", "runs/*.trec")
PRIVATE = {"README.md", "training_args.bin", "trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth"}
"""Of the student's folder: the card is published apart, the host's training arguments may hold a token."""
PLACEHOLDER = "sentence_transformers_model_id"
"""What the host writes in the usage example of a card whose repository is not known yet."""


@dataclass(frozen=True)
class PublishedFile:
    """One file to upload.

    Attributes:
        path: Path in the repository.
        content: The file here, or the bytes themselves where they differ from the file here.
    """

    path: str
    content: Path | bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


def run_files(folder: str | Path, repo_id: str) -> list[PublishedFile]:
    """The files that a push of a finished run uploads, by path; needs neither network nor token.

    Paths of this machine that the run's options or report mention are cut to their last part in every text, and the
    examples load the student from the Hub.

    Raises:
        InputError: If the run is not finished or the id malformed.
    """
    check_repo_id(repo_id)
    _check_finished(folder := Path(folder))
    student, replaced = folder / "student", _replacements(folder, repo_id)
    files = [
        PublishedFile(path.relative_to(student).as_posix(), path)
        for path in student.rglob("*")
        if path.is_file() and path.name not in PRIVATE and not path.name.startswith(".")
    ]
    card = (student / "README.md").read_text(encoding="utf-8").replace(PLACEHOLDER, repo_id)
    files.append(PublishedFile("README.md", _replace(card, replaced).encode()))
    for path in (path for pattern in EVIDENCE_FILES for path in folder.glob(pattern)):
        if path.is_file() and not path.name.startswith("."):  # half-written files are hidden
            name = _replace(path.relative_to(folder).as_posix(), replaced)
            files.append(PublishedFile(f"{EVIDENCE}/{name}", _published(path, replaced)))
    return sorted(files, key=lambda file: file.path)


def _check_finished(folder: Path) -> None:
    needed = ("report.json", "student/modules.json", "student/README.md")
    missing = [name for name in needed if not (folder / name).exists()]
    if missing:
        raise InputError(
            expected="the output folder of a finished run",
            got=f"{folder} without {' and '.join(missing)}",
            remedy="complete the distillation first (the same command resumes it)",
        )


def _replacements(folder: Path, repo_id: str) -> dict[str, str]:
    """Private text -> what stands for it in public."""
    config = folder / CONFIG
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    options: Any = yaml.safe_load(config.read_text(encoding="utf-8")) if config.exists() else {}
    replaced = {path: public(path) for path in local_paths([report, options])}
    replaced |= {path: PurePath(path).name for path in _relative_paths(options)}
    # Run files are named after scorers, with other signs for "/" and ":"; tags in them have none for blanks.
    for spelt in (file_name, _as_tag, lambda name: _as_tag(file_name(name))):
        replaced |= {spelt(path): spelt(name) for path, name in replaced.items()}
    students = [(root / "student").as_posix() for root in (folder, folder.absolute(), folder.resolve())]
    page = folder / "report.md"  # it loads the student from where it was, and the folder may have been moved since
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    students += re.findall(r"""SentenceTransformer\(["']([^"']+)["']""", text)
    return replaced | dict.fromkeys(students, repo_id)


def _relative_paths(options: Any) -> set[str]:
    """What the options name relative to the working folder: output and store, and whatever is there."""
    own = {options.get(name) for name in ("output_dir", "store")} if isinstance(options, dict) else set()
    texts = {text.partition(":")[2] or text for text in strings_of(options)} | {*filter(None, own)}
    paths = {text for text in texts if "/" in text and public(text) == text}
    return {path for path in paths if path in own or os.path.exists(path)}


def _as_tag(name: str) -> str:
    return "_".join(name.split())


def _published(path: Path, replaced: dict[str, str]) -> Path | bytes:
    """The file as it is, or its text without what is private."""
    if path.suffix == ".png":
        return path
    text = open_text = path.read_text(encoding="utf-8")
    if path.name == CONFIG and (options := yaml.safe_load(text)) != (kept := without_secrets(options)):
        open_text = yaml.safe_dump(kept, sort_keys=False)
    public_text = _replace(HUB_TOKEN.sub("(token)", open_text), replaced)
    return path if public_text == text else public_text.encode()


def _replace(text: str, replaced: dict[str, str]) -> str:
    """The text with whole paths replaced, the longest first ("/a" is no path in "</a>" or "b/a")."""
    longest_first = sorted(replaced, key=len, reverse=True)
    pattern = rf"(?<![\w<.])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])"
    return re.sub(pattern, lambda found: replaced[found[0]], text)
