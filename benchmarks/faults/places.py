"""Disks that are full or read-only, folders that are forbidden, vanish or are no folders."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.faults.drills import Drill, Skipped
from benchmarks.faults.material import Material
from benchmarks.faults.processes import Command, Finished, run

FULL, PLACES = "full disk", "read-only and the like"


def drills(seed: int) -> Iterator[Drill]:
    """9 full disks and 18 places that cannot be written or read."""
    source = random.Random(seed)
    for number, kind in enumerate(["store"] * 3 + ["out"] * 6):
        share = 0.05 + 0.85 * (number % 6 + source.random()) / (3 if kind == "store" else 6)
        yield Drill(FULL, f"{kind} {number}", partial(_full, kind=kind, share=min(share, 0.9)))
    for kind in ("out", "store"):
        for name, work in (("read-only", _read_only), ("forbidden", _forbidden), ("vanishing", _vanishing)):
            yield Drill(PLACES, f"{kind} {name}", partial(work, kind=kind))
        for name, make in IN_THE_WAY.items():
            yield Drill(PLACES, f"{kind} {name}", partial(_in_the_way, kind=kind, make=make))
    yield Drill(PLACES, "warm store read-only", _warm_read_only)
    yield Drill(PLACES, "collection forbidden", _collection_forbidden)
    yield Drill(PLACES, "collection vanishing", _collection_vanishing)
    yield Drill(PLACES, "pairs missing", _pairs_missing)


def unmount_left(work: Path) -> None:
    """Unmounts what drills that were killed have left mounted below a folder."""
    for line in Path("/proc/mounts").read_text().splitlines() if Path("/proc/mounts").exists() else []:
        if (place := line.split()[1].replace("\\040", " ")).startswith(f"{work}/"):
            subprocess.run(["umount", "-l", place], check=False)


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """A mount that lasts as long as the block.

    Raises:
        Skipped: If this machine does not allow it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skipped(f"mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def _full(material: Material, folder: Path, kind: str, share: float) -> str:
    """A disk of a part of the size that a run needs, made smaller until it is full; then one with room."""
    root = material.whole if kind == "out" else material.store
    needed = sum(path.stat().st_size // 4096 + 1 for path in root.rglob("*")) * 4
    for number in range(4):
        kilobytes = max(8, int(needed * share / 2**number))
        was_full, wrong = _filled(material, folder / str(number), kind, kilobytes)
        if was_full or wrong:
            return f"{kind}, {kilobytes} kB: {wrong}" if wrong else ""
    return f"{kind}: the disk was never full: the drill is out of date"


def _filled(material: Material, folder: Path, kind: str, kilobytes: int) -> tuple[bool, str]:
    """Whether a disk of this size was full, and what was wrong."""
    disk, here = folder / "disk", folder / "here"
    out, store = (disk if kind == name else folder for name in ("out", "store"))
    command, output = material.distill(out / "out", store / "store"), out / "out"
    with mounted(disk, "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs"):
        first = run(command, here)
        if first.code == 0:
            return False, material.judged(first, output)
        if wrong := first.wrong(2):
            return True, wrong
        if not any(word in first.messages[0].lower() for word in ("full", "room", "space")):
            return True, f"the message does not say that the disk is full: {first.messages[0][:200]}"
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        wrong = material.judged(run(command, here), output)
        return True, f"with room again: {wrong}" if wrong else ""


def _places(folder: Path, kind: str, place: Path) -> tuple[Path, Path]:
    """Output and store, one of them at the place."""
    return (place, folder / "store") if kind == "out" else (folder / "out", place)


def _message(done: Finished, place: Path | None = None) -> str:
    wrong = done.wrong(2)
    if not wrong and place is not None and place.name not in done.messages[0]:
        return f"the message does not name {place.name}: {done.messages[0][:200]}"
    return wrong


def _read_only(material: Material, folder: Path, kind: str) -> str:
    disk = folder / "disk"
    with mounted(disk, "-t", "tmpfs", "-o", "ro", "tmpfs"):
        return _message(run(material.distill(*_places(folder, kind, disk / "place")), folder / "here"), disk)


def _warm_read_only(material: Material, folder: Path) -> str:
    """Everything is stored, so nothing need be written."""
    shutil.copytree(material.store, folder / "store")
    output = folder / "run.trec"
    pairs = next((material.whole / "runs").glob("bm25.trec"))
    command = [
        "score", "--collection", str(material.collection), "--scorer", str(material.models / "teacher"),
        "--precision", "fp32", "--pairs", str(pairs), "--output", str(output),
        "--store", str(folder / "store"),
    ]  # fmt: skip
    first = run(command, folder / "here")
    if wrong := first.wrong(0):
        return f"writable: {wrong}"
    written = output.read_bytes()
    with mounted(folder / "store", "--bind", str(folder / "store")):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder / "store")], check=True)
        wrong = run(command, folder / "here").wrong(0)
        return wrong or ("" if output.read_bytes() == written else "other scores")


def _as_nobody(material: Material, folder: Path, command: list[str]) -> Finished:
    if os.getuid() != 0:
        return run(command, folder / "here")
    for path in (folder, folder / "here"):
        path.mkdir(exist_ok=True)
        path.chmod(0o777)
    for weights in material.models.rglob("*.safetensors"):  # saved for their owner alone
        weights.chmod(0o644)
    for path in material.work.absolute().parents:
        if not path.stat().st_mode & 0o001:
            raise Skipped(f"other users may not enter {path}")
    return Command(command, folder / "here", {"HOME": str(folder)}, as_nobody=True).wait()


def _forbidden(material: Material, folder: Path, kind: str) -> str:
    place = folder / "private" / "place"
    place.mkdir(parents=True)
    place.parent.chmod(0o500 if os.getuid() else 0o700)
    wrong = _message(_as_nobody(material, folder, material.distill(*_places(folder, kind, place))), place.parent)
    place.parent.chmod(0o700)
    return wrong


def _collection_forbidden(material: Material, folder: Path) -> str:
    copy = shutil.copytree(material.collection, folder / "collection")
    (copy / "corpus.jsonl").chmod(0)
    return _message(_as_nobody(material, folder, _on(material, folder, copy)), copy / "corpus.jsonl")


def _on(material: Material, folder: Path, collection: Path) -> list[str]:
    command = material.distill(folder / "out", folder / "store")
    command[command.index("--collection") + 1] = str(collection)
    return command


def _vanishing(material: Material, folder: Path, kind: str) -> str:
    """Somebody deletes the folder in the middle of the run."""
    out, store = folder / "out", folder / "store"
    command = Command(material.distill(out, store), folder / "here")
    command.wait_for(lambda: (out / "warm-up").exists() or (out / "iteration-00").exists())
    shutil.rmtree(out if kind == "out" else store, ignore_errors=True)
    done = command.wait()
    if kind == "out":
        return _message(done)
    return material.judged(done, out, must_finish=False)


def _collection_vanishing(material: Material, folder: Path) -> str:
    copy = shutil.copytree(material.collection, folder / "collection")
    command = Command(_on(material, folder, copy), folder / "here")
    command.wait_for(lambda: (folder / "out" / "student-before").exists())
    shutil.rmtree(copy)
    return material.judged(command.wait(), folder / "out", must_finish=False)


def _pairs_missing(material: Material, folder: Path) -> str:
    pairs = folder / "missing.trec"
    command = ["score", "--collection", str(material.collection), "--scorer", "bm25", "--pairs", str(pairs)]
    return _message(run([*command, "--output", str(folder / "x.trec")], folder / "here"), pairs)


def _in_the_way(material: Material, folder: Path, kind: str, make: Callable[[Path], Path]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    place = make(folder / "place")
    return _message(run(material.distill(*_places(folder, kind, place)), folder / "here"), folder / "place")


def _file(place: Path) -> Path:
    place.write_text("a file")
    return place


def _below_a_file(place: Path) -> Path:
    place.write_text("a file")
    return place / "below"


def _looping(place: Path) -> Path:
    place.symlink_to(place)
    return place


IN_THE_WAY = {"is a file": _file, "below a file": _below_a_file, "looping link": _looping}
