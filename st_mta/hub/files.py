"""What of a finished run is published: the student, its card and the evidence, and under which names."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

from st_mta.errors import InputError
from st_mta.hub.cleaning import CONFIG, Cleaning
from st_mta.hub.failures import check_repo_id
from st_mta.hub.public import inert
from st_mta.hub.search import PublishedFile, refuse_private
from st_mta.names import file_name
from st_mta.report.tables import systems

EVIDENCE = "distillation"
"""Folder of the evidence in the published repository."""
EVIDENCE_FILES = ("report.json", "report.md", "report.html", CONFIG)
PLOTS = ("quality.png", "selection.png", "scores.png", "filter.png", "agreement.png", "against-*.png")
STUDENT_FILES = (
    "*.json", "*.safetensors", "pytorch_model*.bin", "*.onnx", "*.py", "*.jinja", "*vocab*", "merges.txt", "*.model",
    "*.spm", "bpe.codes",
)  # fmt: skip
"""What the host and tokenizers write into the folder of a model and into those of its modules."""
PRIVATE = ("README.md", "training_args.bin", "trainer_state.json", "state.json", "config.yaml")
"""Of the student's folder: the card is published apart, the host's training arguments may hold a token."""
PLACEHOLDER = "sentence_transformers_model_id"
"""What the host writes in the usage example of a card whose repository is not known yet."""
logger = logging.getLogger(__name__)


def run_files(folder: str | Path, repo_id: str) -> list[PublishedFile]:
    """The files that a push of a finished run uploads, by path; needs neither network nor token.

    Paths of this machine that the run's options or report mention are cut to their last part in every text, secrets
    are blanked, and the examples load the student from the Hub. Links and what the run did not write stay here.

    Raises:
        InputError: If the run is not finished or the id malformed.
    """
    check_repo_id(repo_id)
    _check_finished(folder := Path(folder))
    cleaning = Cleaning(folder, repo_id)
    student = folder / "student"
    files = [
        PublishedFile(path.relative_to(student).as_posix(), cleaning.settings(path))
        for path in _student_files(student)
    ]
    card = (student / "README.md").read_text(encoding="utf-8").replace(PLACEHOLDER, repo_id)
    files.append(PublishedFile("README.md", cleaning.text(card).encode()))
    for path in _evidence(folder, cleaning):
        name = cleaning.name(path.relative_to(folder).as_posix())
        files.append(PublishedFile(f"{EVIDENCE}/{name}", cleaning.file(path)))
    refuse_private(files)
    return sorted(files, key=lambda file: file.path)


def _check_finished(folder: Path) -> None:
    needed = ("report.json", "student/modules.json", "student/README.md")
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise InputError(
            expected="the output folder of a finished run",
            got=f"{folder} without {' and '.join(missing)}",
            remedy="complete the distillation first (the same command resumes it)",
        )
    if linked := [name for name in ("student", *needed) if (folder / name).is_symlink()]:
        raise InputError(
            expected=f"a run's own files in {folder}",
            got=f"a link called {linked[0]}",
            consequence="something the run did not write would be published",
            remedy="put the file or folder itself there",
        )


def _student_files(student: Path) -> list[Path]:
    """The files of the model and its modules; whatever else lies there is named and left out."""
    folders = _model_folders(student)
    found = [path for path in sorted(student.rglob("*")) if path.is_file() and path.name not in PRIVATE]
    kept = [path for path in found if path.parent in folders and _is_own(path, student)]
    if strange := [path.relative_to(student).as_posix() for path in found if path not in kept]:
        logger.warning("Not published, since no model needs it: %s", inert(", ".join(strange)))
    return kept


def _model_folders(student: Path) -> set[Path]:
    """The folders of the modules, those of a router's routes, and those of their further chat templates."""
    path = student / "modules.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        modules = {student, *(student / str(entry["path"]) for entry in entries)}
        if not entries:
            raise ValueError("no module")
        routers = [module / "router_config.json" for module in modules if (module / "router_config.json").is_file()]
        routes = {router.parent / name for router in routers for name in json.loads(router.read_text())["types"]}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            expected=f"the list of a model's modules in {path}",
            got=f"something else ({type(error).__name__}: {error})",
            remedy="restore the file, or run the distillation's command again",
        ) from error
    return {folder for module in modules | routes for folder in (module, module / "additional_chat_templates")}


def _is_own(path: Path, student: Path) -> bool:
    """Whether a file in a module's folder is the model's: not hidden, not behind a link, of a known name."""
    inside = path.relative_to(student)
    hidden = any(part.startswith(".") for part in inside.parts)
    return not hidden and _is_real(path, student) and any(inside.match(pattern) for pattern in STUDENT_FILES)


def _is_real(path: Path, root: Path) -> bool:
    """Whether it is a file, and neither it nor a folder between it and the root is a link."""
    between = [root.joinpath(*path.relative_to(root).parts[:depth]) for depth in range(1, len(path.parts) + 1)]
    return path.is_file() and not any(place.is_symlink() for place in between)


def _evidence(folder: Path, cleaning: Cleaning) -> Iterator[Path]:
    """Report, options, plots and the run files of the report's systems; nothing behind a link."""
    runs = {f"{file_name(entry['name'])}.trec" for _, entry in systems(cleaning.report)}
    named = [folder / name for name in EVIDENCE_FILES]
    named += sorted(path for pattern in PLOTS for path in (folder / "plots").glob(pattern))
    named += [folder / "runs" / name for name in sorted(runs)]
    yield from (path for path in named if _is_real(path, folder))
