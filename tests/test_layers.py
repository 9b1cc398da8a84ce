"""The import rule: which room may import which, read from the source without running it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import st_mta

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "st_mta"
# Every room and what lies above it, in the order of CONTRIBUTING's table; the base files are open to all.
BASE = (
    "citations errors visible os_errors outputs ranges typed options lookup checked filters progress atomic types "
    "precision distributions lines trec scored scripts names procrustes over_processes processes".split()
)
BELOW_BASE = {
    "collections": [],
    "stores": [],
    "search": ["stores"],
    "backbones": [],
    "scorers": ["collections", "stores", "search", "backbones"],
    "mining": ["collections", "stores"],
    "generators": ["collections", "stores", "scorers", "mining"],
    "assistants": [],
    "losses": ["stores", "backbones"],
    "evaluation": ["collections", "stores", "search"],
    "run": ["stores"],
    "report": ["collections", "stores", "scorers", "mining", "evaluation", "run"],
    "hub": ["stores", "evaluation", "run", "report"],
}
BELOW_BASE["training"] = list(BELOW_BASE)
BELOW_BASE["recipes"] = [*BELOW_BASE]
BELOW_BASE["cli"] = [*BELOW_BASE]
ALLOWED = {room: {*BASE, *above} for room, above in BELOW_BASE.items()}
HOST = {"sentence_transformers", "transformers"}
FREE_OF_HOST = [
    *sorted((PACKAGE / "types").glob("*.py")),
    PACKAGE / "assistants" / "fusion.py",
    PACKAGE / "assistants" / "selection.py",
    *sorted((PACKAGE / "collections").glob("*.py")),
]
# Where sentence-transformers < 6 had what now lives below sentence_transformer/ or base/; importing it warns.
FLAT_PATHS = {"losses", "evaluation", "models", "readers", "datasets", "trainer", "training_args", "data_collator"} | {
    "model_card", "model_card_templates", "similarity_functions", "quantization", "sampler", "SentenceTransformer"
}  # fmt: skip

FILES = sorted(PACKAGE.rglob("*.py"))
ENTRANCES = {PACKAGE / "__init__.py", PACKAGE / "__main__.py"}  # the public names and `python -m st_mta`


def imported_modules(path: Path) -> set[str]:
    """Dotted names of everything a file imports, inside functions and TYPE_CHECKING blocks too."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


def rooms_imported(path: Path) -> set[str]:
    """First part below st_mta of every import."""
    own = (module.split(".") for module in imported_modules(path) if module.split(".")[0] == "st_mta")
    return {parts[1] for parts in own if len(parts) > 1} - {"__version__"}


def test_the_files_are_found():
    assert len(FILES) > 20


@pytest.mark.parametrize(
    "path", [path for path in FILES if path not in ENTRANCES], ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_room_imports_only_what_is_above_it(path):
    room = path.relative_to(PACKAGE).parts[0]
    imported = rooms_imported(path)
    if room.endswith(".py") or room in BASE:
        place = BASE.index(room.removesuffix(".py"))  # a new base file has to be placed on purpose
        assert imported - {room} <= set(BASE[:place])  # a base file may be a folder, whose files know each other
    else:
        assert imported <= ALLOWED[room] | {room}


@pytest.mark.parametrize("path", FREE_OF_HOST, ids=lambda path: str(path.relative_to(ROOT)))
def test_data_and_formulas_do_not_need_the_host(path):
    assert not {module.split(".")[0] for module in imported_modules(path)} & HOST


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_deprecated_flat_path_of_the_host(path):
    parts = [module.split(".") for module in imported_modules(path)]
    flat = [".".join(part) for part in parts if part[0] == "sentence_transformers" and part[1:2] and part[2:]]
    assert not [module for module in flat if module.split(".")[1] in FLAT_PATHS]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_private_of_the_host(path):
    host = [module for module in imported_modules(path) if module.split(".")[0] in HOST]
    assert not [module for module in host if any(re.match(r"_[^_]", part) for part in module.split("."))]


def test_one_version():
    project = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    changes = re.search(r"^## \[(\d.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert project is not None and changes is not None
    assert project[1] == changes[1] == st_mta.__version__


def test_the_house_has_no_other_rooms():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= {*ALLOWED, "types"}


def test_losses_are_usable_without_the_trainer():
    """`import st_mta.losses` must not drag in the rest of the house; what a teacher computed may lie in a store."""
    for path in (PACKAGE / "losses").rglob("*.py"):
        assert rooms_imported(path) <= {"losses", "stores", "backbones", *BASE}


def test_contributing_draws_the_same_house():
    """The table of CONTRIBUTING.md is the rule that is tested here."""
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("| room |")[1].split("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    words = [[re.findall(r"`(\w+)`", cell) for cell in row] for row in cells]
    assert words[0][0] == BASE
    drawn = {row[0][0]: row[2] for row in words[1:]}
    everything_before = {room: list(drawn)[:place] for place, room in enumerate(drawn)}
    for room, row in zip(drawn, cells[1:]):
        if row[2] == "all of the above":
            drawn[room] = everything_before[room]
    assert drawn == BELOW_BASE and list(drawn) == list(BELOW_BASE)


def test_contributing_names_what_there_is():
    words = re.findall(r"`([^`]+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    files = [word for word in words if word.endswith(".py") and "<" not in word]
    assert len(files) > 10
    assert [name for name in files if not (ROOT / name).exists() and not (PACKAGE / name).exists()] == []
    code = "\n".join(path.read_text(encoding="utf-8") for path in FILES)
    lists = [word for word in words if re.fullmatch(r"[A-Z_]{4,}", word)]
    assert [name for name in lists if not re.search(rf"^{name}\b.*= ", code, re.MULTILINE)] == []
