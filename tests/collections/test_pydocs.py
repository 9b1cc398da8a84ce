from __future__ import annotations

import ast
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from st_mta.collections.pydocs import pydocs
from st_mta.errors import InputError
from st_mta.types import Collection

MODULE = '''
"""Feeds the animals of a small zoo.

Every animal has a keeper; the keeper knows what it eats, when, and how much of it.
"""
import no_such_module_anywhere


class Keeper:
    """Someone who looks after :class:`~zoo.Animal` objects. Each keeper has a key, a bucket and a plan for the
    day, which may change at any time without warning.
    """

    def feed(self, animal):
        """feed(animal) -> bool

        Give an `animal` its food.
        >>> Keeper().feed("cat")
        True, since a cat always eats, whatever the hour of the day may be
        """

    def short(self):
        """Too short to use.

        Really.
        """

    def summary_only(self):
        """Say in one sentence what this does and leave it at that, however many words it takes to do so"""

if True:
    def nested():
        """Open all the gates.

        Open all the gates. Then wait until every animal has left, and close them again one by one.
        """

    async def twin():
        """Close all the gates.

        Every animal has a keeper; the keeper knows what it eats, when, and how much of it.
        """

try:
    pass
except ImportError:
    def last():
        """Count the animals again.

        The sum is compared with that of the evening before, and a keeper is called if it is less.
        """
'''


@pytest.fixture
def stdlib(tmp_path: Path) -> Path:
    root = tmp_path / "lib"
    for name, content in {
        "zoo.py": MODULE,
        "pond/__init__.py": MODULE.replace("Count", "Sort").replace("The sum", "Their order"),
        "broken.py": "def f(:",
        "test/test_zoo.py": MODULE.replace("animal", "beast"),
        "site-packages/other.py": MODULE.replace("animal", "plant"),
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def collection() -> Collection:
    return pydocs()


def test_cuts_docstrings_and_keeps_the_first_of_repeats(stdlib: Path) -> None:
    collection = pydocs(stdlib)
    # pond/__init__.py sorts before zoo.py, so zoo keeps only what pond has not said
    assert dict(zip(collection.corpus.ids, collection.queries.column.to_pylist())) == {
        "pond": "Feeds the animals of a small zoo.",
        "pond.Keeper": "Someone who looks after zoo.Animal objects.",
        "pond.Keeper.feed": "Give an animal its food.",
        "pond.last": "Sort the animals again.",
        "zoo.last": "Count the animals again.",
    }
    assert collection.corpus["pond.Keeper.feed"].startswith('>>> Keeper().feed("cat") True, since')
    assert collection.corpus["pond.Keeper"].endswith(
        "a plan for the day, which may change at any time without warning."
    )


def test_ids_join_query_and_passage_and_differ(stdlib: Path) -> None:
    collection = pydocs(stdlib)
    judged = {query: rows for split in collection.qrels.values() for query, rows in split.items()}
    assert judged == {f"q:{passage_id}": {passage_id: 1} for passage_id in collection.corpus.ids}


def test_folder_without_docstrings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "silent.py").write_text("x = 1")
    with pytest.raises(InputError, match="none under"):
        pydocs(tmp_path)


def test_size_and_shares(collection: Collection) -> None:
    total = len(collection.corpus)
    assert 1500 <= total <= 3500
    assert len(collection.queries) == total
    for split, share in {"train": 0.7, "dev": 0.1, "test": 0.2}.items():
        assert len(collection.qrels[split]) / total == pytest.approx(share, abs=0.03)
    assert collection.licence == "PSF-2.0"


def test_another_process_builds_the_same(collection: Collection) -> None:
    code = "from st_mta.collections.pydocs import pydocs; print(pydocs().fingerprint)"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    built = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert built.stdout.strip() == collection.fingerprint


def test_splits_share_no_module(collection: Collection) -> None:
    modules = [{query_id[2:].partition(".")[0] for query_id in rows} for rows in collection.qrels.values()]
    assert len(modules) == 3
    assert len(set.union(*modules)) == sum(map(len, modules))


def test_no_passage_contains_its_query(collection: Collection) -> None:
    pairs = zip(collection.queries.column.to_pylist(), collection.corpus.column.to_pylist())
    assert not [query for query, passage in pairs if query.lower() in passage.lower()]


def test_texts_are_unique_and_long_enough(collection: Collection) -> None:
    queries, passages = collection.queries.column.to_pylist(), collection.corpus.column.to_pylist()
    assert len(set(queries)) == len(queries)
    assert len(set(passages)) == len(passages)
    assert min(len(query.split()) for query in queries) >= 3
    assert min(len(passage.split()) for passage in passages) >= 12
    assert "\n" not in "".join(queries + passages)


def test_nothing_is_imported(stdlib: Path) -> None:
    before = set(sys.modules)
    pydocs(stdlib)
    assert not {"zoo", "pond"} & (set(sys.modules) - before)


def test_agrees_with_the_source(collection: Collection) -> None:
    source = Path(sysconfig.get_paths()["stdlib"], "bisect.py").read_text(encoding="utf-8")
    function = next(node for node in ast.parse(source).body if getattr(node, "name", "") == "insort_right")
    words = " ".join((ast.get_docstring(function) or "").split())
    assert words == f"{collection.queries['q:bisect.insort_right']} {collection.corpus['bisect.insort_right']}"
