"""Files and dictionaries that are no collection, no judgements or no run."""

from __future__ import annotations

import gzip
import math
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.faults.drills import Drill
from benchmarks.faults.material import Material
from st_mta.collections import from_dictionaries, load_collection
from st_mta.errors import InputError
from st_mta.trec import read_run

LINE = '{{"_id": {}, "text": {}}}'.format
TEXTS: dict[str, bytes] = {
    "broken json": b'{"_id": "x", "text"',
    "a list": b'["x", "y"]',
    "no id": b'{"text": "a dog"}',
    "no text": b'{"_id": "x"}',
    "text null": LINE('"x"', "null").encode(),
    "text number": LINE('"x"', "5").encode(),
    "text list": LINE('"x"', '["a"]').encode(),
    "id null": LINE("null", '"a dog"').encode(),
    "id list": LINE("[1]", '"a dog"').encode(),
    "id empty": LINE('""', '"a dog"').encode(),
    "id with blank": LINE('"a b"', '"a dog"').encode(),
    "id with line break": LINE('"a\\nb"', '"a dog"').encode(),
    "id twice": LINE('"p1"', '"other"').encode() + b"\n" + LINE('"q1"', '"other"').encode(),
    "surrogate": LINE('"x"', '"\\ud800"').encode(),
    "no utf-8": b'{"_id": "x", "text": "\xff\xfe"}',
    "zeros": bytes(40),
}
MAY_BE_READ = {"text number", "id with blank", "surrogate", "id twice", "no text", "text null", "zeros"}
MAY_BE_READ |= {"id empty", "id with line break"}  # run files write them escaped
"""Lines that a reader may take, if it takes them as what they are."""
QRELS: dict[str, bytes] = {
    "two columns": b"q24\tp24",
    "a word": b"q24\tp24\tgood",
    "huge grade": b"q24\tp24\t9223372036854775808",
    "nan": b"q24\tp24\tnan",
    "infinite": b"q24\tp24\tinf",
    "half": b"q24\tp24\t0.5",
    "five columns": b"q24\t0\tp24\t1\tx",
    "zeros": bytes(20),
    "no utf-8": b"q24\t\xff\xfe\t1",
    "twice": b"q32\tp32\t2\nq24\tp24\t2",
}
WHOLE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "utf-16": lambda data: data.decode().encode("utf-16"),
    "cut gzip": lambda data: gzip.compress(data)[:-20],
    "half": lambda data: data[: len(data) // 2],
}
RUNS: dict[str, str] = {
    "a word for a score": "q1 Q0 p1 1 good x",
    "nan": "q1 Q0 p1 1 nan x",
    "too large": "q1 Q0 p1 1 1e39 x",
    "two columns": "q1 p1",
    "html": "<html><body>404</body></html>",
    "twice": "q1 Q0 p1 1 2.0 x\nq1 Q0 p1 2 1.0 x",
    "zeros": "\x00" * 20,
}
DICTIONARIES: dict[str, tuple[object, object, object]] = {
    "corpus is a list": (["a"], {"q": "a"}, {"test": {"q": {"p": 1}}}),
    "text is a number": ({"p": 5}, {"q": "a"}, {"test": {"q": {"p": 1}}}),
    "text is None": ({"p": None}, {"q": "a"}, {"test": {"q": {"p": 1}}}),
    "ids are numbers": ({1: "a"}, {2: "b"}, {"test": {2: {1: 1}}}),
    "grade is a word": ({"p": "a"}, {"q": "a"}, {"test": {"q": {"p": "good"}}}),
    "grade is nan": ({"p": "a"}, {"q": "a"}, {"test": {"q": {"p": math.nan}}}),
    "grade is huge": ({"p": "a"}, {"q": "a"}, {"test": {"q": {"p": 2**63}}}),
    "qrels are a list": ({"p": "a"}, {"q": "a"}, [("q", "p", 1)]),
    "nothing": ({}, {}, {}),
    "surrogate": ({"p": "\ud800"}, {"q": "a"}, {"test": {"q": {"p": 1}}}),
}


def drills(_: int) -> Iterator[Drill]:
    """Some 70 defects."""
    for kind in ("corpus", "queries"):
        for name, line in TEXTS.items():
            yield _drill(f"{kind} {name}", partial(_added, file=f"{kind}.jsonl", line=line, may=name in MAY_BE_READ))
    for name, line in QRELS.items():
        yield _drill(
            f"qrels {name}", partial(_added, file="qrels/test.tsv", line=line, may=name in ("half", "twice", "zeros"))
        )
    for file in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        for name in WHOLE:
            yield _drill(f"{file} {name}", partial(_changed, file=file, name=name))
        yield _drill(f"{file} a folder", partial(_a_folder, file=file))
    for name, text in RUNS.items():
        yield _drill(f"run {name}", partial(_run, text=text))
    for name in DICTIONARIES:
        yield _drill(f"dictionaries {name}", partial(_dictionaries, name=name))


def _drill(name: str, work: Callable[..., str]) -> Drill:
    return Drill("bad data", name, work, inside=True)


def _read(folder: Path, file: Path, may: bool) -> str:
    """What happens to a reader of the folder: refused with the file's name is right, read only where it may be."""
    try:
        collection = load_collection(folder)
    except InputError as error:
        return "" if file.name.split(".")[0] in str(error) else f"the message does not name {file.name}: {error}"
    except Exception as error:  # a traceback for the user
        return f"{type(error).__name__}: {str(error)[:150]}"
    mentioned = any(file.stem in note or "test" in note for note in collection.notes)
    return "" if may or mentioned else "read as if nothing were wrong"


def _copy(material: Material, folder: Path) -> Path:
    return Path(shutil.copytree(material.collection, folder / "c"))


def _added(material: Material, folder: Path, file: str, line: bytes, may: bool) -> str:
    path = _copy(material, folder) / file
    path.write_bytes(path.read_bytes() + line + b"\n")
    return _read(folder / "c", path, may)


def _changed(material: Material, folder: Path, file: str, name: str) -> str:
    path = _copy(material, folder) / file
    data = WHOLE[name](path.read_bytes())
    target = path.with_name(path.name + ".gz") if name == "cut gzip" else path
    path.unlink()
    target.write_bytes(data)
    return _read(folder / "c", path, may=name == "half" and file.startswith("qrels"))


def _a_folder(material: Material, folder: Path, file: str) -> str:
    path = _copy(material, folder) / file
    os.unlink(path)
    path.mkdir()
    return _read(folder / "c", path, may=False)


def _run(_: Material, folder: Path, text: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.trec").write_text(text)
    try:
        found = read_run(folder / "a.trec")
    except InputError as error:
        return "" if "a.trec" in str(error) else f"the message does not name the file: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:150]}"
    return f"read as {found}"[:150]


def _dictionaries(_: Material, folder: Path, name: str) -> str:
    corpus, queries, qrels = DICTIONARIES[name]
    try:
        found = from_dictionaries("d", corpus, queries, qrels)  # type: ignore[arg-type]
    except InputError:
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:150]}"
    return (
        ""
        if name in ("ids are numbers", "surrogate")
        else f"taken as {len(found.corpus)} passages, {found.qrels}"[:150]
    )
