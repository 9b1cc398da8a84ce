"""Other texts of a collection's passages and queries: another language, an expanded query, a body beside its title."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from st_mta.collections.assemble import joined_texts
from st_mta.collections.records import read_records
from st_mta.errors import InputError
from st_mta.types import Texts

CORPUS, QUERIES = "corpus", "queries"


@dataclass(frozen=True, eq=False)
class View:
    """What one reader sees instead of a collection's own texts, matched by ids.

    Args:
        corpus: Passages under the ids of the collection's; None leaves the collection's own.
        queries: The same for queries.
        source: Where it comes from, for messages.

    Raises:
        InputError: If there is neither.
    """

    corpus: Texts | None = None
    queries: Texts | None = None
    source: str = "the view"

    def __post_init__(self) -> None:
        if self.corpus is None and self.queries is None:
            raise InputError(
                expected="a view with other texts of passages or queries",
                got=f"neither in {self.source}",
                remedy="give corpus or queries, or a folder with corpus.jsonl or queries.jsonl",
            )

    @property
    def fingerprint(self) -> str:
        """Digests of the texts (32 digits each), "own" for the collection's."""
        return "-".join("own" if one is None else one.fingerprint for one in (self.corpus, self.queries))

    @property
    def parts(self) -> str:
        """What it replaces, in words."""
        return " and ".join(
            word for word, one in (("queries", self.queries), ("passages", self.corpus)) if one is not None
        )

    def of_corpus(self, corpus: Texts) -> Texts:
        """The passages at the positions of the collection's own."""
        return self._at_positions_of(corpus, self.corpus, CORPUS)

    def of_queries(self, queries: Texts) -> Texts:
        """The queries at the positions of the collection's own."""
        return self._at_positions_of(queries, self.queries, QUERIES)

    @cached_property
    def _aligned(self) -> WeakKeyDictionary[Texts, dict[str, Texts]]:
        return WeakKeyDictionary()

    def _at_positions_of(self, own: Texts, others: Texts | None, part: str) -> Texts:
        if others is None:
            return own
        known = self._aligned.setdefault(own, {})
        if part not in known:
            found = others.find(own.ids)
            if (missing := np.flatnonzero(found < 0)).size:
                self._refuse_missing(own, others, part, missing)
            same = len(found) == len(others) and bool((found == np.arange(len(found))).all())
            known[part] = others if same else others.select(found)
        return known[part]

    def _refuse_missing(self, own: Texts, others: Texts, part: str, missing: np.ndarray) -> None:
        first = own.take_ids(missing[:1])[0]
        raise InputError(
            expected=f"a text for each of the collection's {len(own)} {part} in {self.source}",
            got=f"none for {len(missing)} of them, the first {first!r} (number {int(missing[0]) + 1} of the "
            f"collection); {len(others)} others are there",
            consequence="the teacher would have nothing to read of them",
            remedy=f"write the missing lines, or leave the {part} of the view out, so that the collection's own are "
            "read",
        )


def read_view(folder: str | Path) -> View:
    """Reads ``corpus.jsonl`` and ``queries.jsonl`` of a folder, or the one of them that is there.

    The lines are those of BEIR, with the ids of the collection; each file may be compressed (``.gz``). Titles are
    joined to their texts. Further ids, and judgements beside the files, are passed over.

    Raises:
        InputError: If there is no such folder or neither file, or a line cannot be read; with file and line.
    """
    folder = Path(folder).expanduser()
    tables = {}
    for part in (CORPUS, QUERIES):
        path = next((path for path in (folder / f"{part}.jsonl", folder / f"{part}.jsonl.gz") if path.is_file()), None)
        if path is not None:
            records, _ = read_records(path, queries=part == QUERIES)
            titles = records["title"] if part == CORPUS else None
            tables[part] = Texts(records["_id"], joined_texts(titles, records["text"]))
    if not tables:
        raise InputError(
            expected=f"a folder with corpus.jsonl or queries.jsonl at {folder}",
            got="neither" if folder.is_dir() else "no such folder",
            remedy="name the folder that directly holds the other texts of the collection's ids",
        )
    return View(tables.get(CORPUS), tables.get(QUERIES), str(folder))
