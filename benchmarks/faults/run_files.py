"""Damaged files of a run that is half done: checkpoints, journal, candidates, students."""

from __future__ import annotations

import pickle
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Lock

from benchmarks.faults.drills import Drill
from benchmarks.faults.material import Material
from benchmarks.faults.processes import Command, run

LOCK = Lock()


def truncated(path: Path) -> None:
    """Half of it."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zeroed(path: Path) -> None:
    """As long as it was, and nothing in it."""
    path.write_bytes(bytes(path.stat().st_size))


def flipped(path: Path) -> None:
    """One bit in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 16
    path.write_bytes(data)


def removed(path: Path) -> None:
    """Gone."""
    path.unlink()


def foreign(path: Path) -> None:
    """Something else."""
    path.write_bytes(pickle.dumps({"something": "else"}))


IN_CHECKPOINTS = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
OF_THE_RUN = ("iteration-00/lists.parquet", "iteration-00/scores.npy", "iteration-00/queries.npz")


def drills(_: int) -> Iterator[Drill]:
    """39 damages."""
    for name in IN_CHECKPOINTS:
        for damage in (truncated, zeroed, removed, flipped):
            yield _drill(f"iteration-00/train/checkpoint-*/{name}", damage)
    for name in OF_THE_RUN:
        for damage in (truncated, zeroed, removed, flipped):
            yield _drill(name, damage)
    for damage in (truncated, zeroed, foreign, flipped):
        yield _drill("state.json", damage)
    for name in ("warm-up/student/model.safetensors", "student-before/model.safetensors"):
        for damage in (truncated, flipped):
            yield _drill(name, damage)


def _drill(name: str, damage: Callable[[Path], None]) -> Drill:
    return Drill("damaged run files", f"{damage.__name__} {name}", partial(_damaged, name=name, damage=damage))


def _half(material: Material) -> Path:
    """A run that was killed in the training of the first iteration, behind a checkpoint; made once."""
    half = material.work / "half"
    with LOCK:
        for _ in range(0 if (half / "made").exists() else 5):
            shutil.rmtree(half, ignore_errors=True)
            command = Command(material.distill(half / "out", half / "store"), half / "here")
            command.wait_for(lambda: len(_whole_checkpoints(half / "out")) > 0)
            command.send(signal.SIGKILL)
            command.wait()
            if _whole_checkpoints(half / "out"):
                (half / "made").write_text("")
                break
    return half


def _whole_checkpoints(out: Path) -> list[Path]:
    found = [path.parent for path in (out / "iteration-00").rglob("checkpoint-*/trainer_state.json")]
    return [path for path in found if all((path / name).exists() for name in IN_CHECKPOINTS)]


def _damaged(material: Material, folder: Path, name: str, damage: Callable[[Path], None]) -> str:
    half = _half(material)
    for part in ("out", "store"):
        shutil.copytree(half / part, folder / part)
    # Runs do not look at where they lie, but the journal may: the same command line, in a folder of the same name.
    found = sorted((folder / "out").glob(name.replace("iteration-00/train/", "iteration-00/**/")))
    if not found:
        return f"no file {name} to damage: the drill is out of date"
    for path in found[-1:]:
        damage(path)
    done = run(material.distill(folder / "out", folder / "store"), folder / "here")
    return material.judged(done, folder / "out", must_finish=False)
