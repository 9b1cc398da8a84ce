"""Command lines in several processes, as a launcher would start them; a module that these can import."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from io import StringIO
from pathlib import Path
from typing import Any

from st_mta.cli import launched
from st_mta.cli import main as entrance
from st_mta.cli.main import main
from st_mta.errors import InputError
from st_mta.processes import processes
from st_mta.recipes import distill as recipe
from st_mta.scorers import BiEncoderScorer, CrossEncoderScorer, embedding
from tests.several_processes import run_in_processes

SMALL = 64
"""Pairs in a part and texts in a block, so that there are several."""
COUNTED = {CrossEncoderScorer: "predict", BiEncoderScorer: "encode"}


@dataclass(frozen=True)
class Line:
    """A command line, and on which ranks loading the inputs of a distillation fails, with what message.

    "!" in front of the message makes it an error that no user can mend.
    """

    words: Sequence[Any]
    failing: Mapping[int, str] = field(default_factory=dict)


def run_commands(folder: Path, count: int, *lines: Line) -> list[list[dict[str, Any]]]:
    """What each rank printed in each command, the code that it ended with, and how many parts it has computed."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = tuple(Line([str(word) for word in line.words], line.failing) for line in lines)
    run_in_processes(count, _commands, str(folder), lines, seconds=240)
    ranks = [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(count)]
    return [list(results) for results in zip(*ranks)]


def _commands(rank: int, count: int, folder: str, lines: Sequence[Line]) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(count), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1")
    entrance.leave = lambda: None  # whoever started the processes does it
    launched.wait_for_the_end = entrance.wait_for_the_end = lambda: None  # for the next line, and below
    embedding.BLOCK_SIZE, CrossEncoderScorer.part_size = SMALL, SMALL
    counts = {kind.__name__: _counted(kind, work) for kind, work in COUNTED.items()}
    results = [
        {**_command(line, rank), "parts": {kind: len(found) for kind, found in counts.items()}} for line in lines
    ]
    Path(folder, f"rank-{rank}.json").write_text(json.dumps(results))


def _command(line: Line, rank: int) -> dict[str, Any]:
    """One command; this process's own output goes into files meanwhile, as it would with a launcher."""
    plain, here = recipe._trainer, (sys.stdout, sys.stderr)
    if rank in line.failing:
        recipe._trainer = lambda _: _fail(line.failing[rank])
    try:
        sys.stdout, sys.stderr = out, err = StringIO(), StringIO()
        code: int | str = main(list(line.words))
    except Exception as error:
        code = f"{type(error).__name__}: {error}"
    finally:
        sys.stdout, sys.stderr = here
        recipe._trainer = plain
    processes().barrier()
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def _counted(kind: type, work: str) -> list[int]:
    """Notes every part that the model is given from now on."""
    found: list[int] = []
    plain = getattr(kind, work)

    @wraps(plain)
    def counting(self, texts, *more, **named):
        found.append(len(texts))
        return plain(self, texts, *more, **named)

    setattr(kind, work, counting)
    return found


def _fail(message: str):
    if message.startswith("!"):
        raise ZeroDivisionError(message)
    raise InputError(expected="nothing of this kind", got=message, remedy="try again")
