"""Several processes of one run, as torchrun and accelerate start them: rank 0 leads, the others serve it.

| what | rank 0 | the other ranks |
|---|---|---|
| loading and checking of the inputs | does it | do it too, for themselves |
| output folder, lock, journal, promotion, report | does it | wait |
| mining, search, calibration, fusion weights, evaluation | does it | wait |
| encoding and scoring | deals out parts and writes what comes back to the store | compute parts |
| a training | takes part, then saves the student | read the journal and the lists, take part |
| the result, or what was raised | sends it | return it, or raise it |

A part is what one process would compute at once, so that what is stored does not depend on how many there are. What
is sent goes over a group of its own, which waits for days: NCCL would give up while rank 0 searches.
"""

from __future__ import annotations

import copy
import datetime
import io
import logging
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch
from torch import distributed

from st_mta.errors import InputError
from st_mta.over_processes import num_processes

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
PATIENCE = datetime.timedelta(days=7)
"""How long a rank waits for rank 0, which may search or mine for hours."""
UNSENT = "st_mta_raised_in_a_training"
"""Attribute of an exception that rank 0 must not send."""
HELD = 4
"""Models that came from rank 0 and are kept: the student changes with every iteration."""


class Processes:
    """The processes of a run, seen from one of them. Outside a launcher there is one, and everything is a plain call.

    Every method is called by all ranks at the same point of the program, except within ``lead``, where ``together``
    and ``map`` are called by rank 0 alone.

    Attributes:
        rank: Of this process, from 0.
        size: Number of processes.
    """

    def __init__(self) -> None:
        self.world, self.size = _world(), num_processes()
        self.rank = distributed.get_rank() if self.size > 1 else 0
        self._group = distributed.new_group(backend="gloo", timeout=PATIENCE) if self.size > 1 else None
        self._dealing = self._alone = False
        self._calls: Mapping[str, Callable[..., Any]] = {}
        self._introduced: dict[str, Any] = {}
        self._everywhere: dict[str, bool] = {}
        self._sent: list[str] = []
        self._held: dict[str, Any] = {}

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    # What all ranks call at the same point.

    def share(self, value: Result) -> Result:
        """Rank 0's value, on every rank."""
        if self.size == 1:
            return value
        box = [value]
        with self._explained():
            distributed.broadcast_object_list(box, src=0, group=self._group)
        return box[0]

    def barrier(self) -> None:
        """Waits until all ranks are here."""
        if self.size > 1:
            with self._explained():
                distributed.barrier(group=self._group)

    def sum(self, values: Any) -> np.ndarray:
        """Sums of an array of numbers over all ranks, as float64."""
        tensor = torch.as_tensor(np.asarray(values, dtype=np.float64).copy())
        if self.size > 1:
            with self._explained():
                distributed.all_reduce(tensor, group=self._group)
        return tensor.numpy()

    def any(self, flag: bool) -> bool:
        """Whether it is true on any rank."""
        return bool(self.sum([float(flag)])[0])

    def introduce(self, workers: Sequence[Any]) -> None:
        """Names objects with a fingerprint that every rank holds, so that they need not travel."""
        if self.size > 1:
            self._introduced |= {worker.fingerprint: worker for worker in workers}

    def on_leader(self, work: Callable[[], Result]) -> Result:
        """Rank 0 works, and nothing is dealt out; every rank gets the result, or raises what rank 0 raised."""
        if self.size == 1 or self._dealing or self._alone:
            return work()
        return self._shared_outcome(self._marked("_alone", work))

    def lead(self, work: Callable[[], Result], calls: Mapping[str, Callable[..., Any]] | None = None) -> Result:
        """Rank 0 works, the others serve it; every rank gets the result, or raises what rank 0 raised.

        Args:
            work: What rank 0 does; in it, ``together`` and ``map`` have the others take part.
            calls: Name -> function that ``together`` may have every rank run.
        """
        if self.size == 1 or self._dealing or self._alone:
            return work()
        before, self._calls = self._calls, calls or {}
        try:
            return self._shared_outcome(self._marked("_dealing", work)) if self.leads else self._serve()
        finally:
            self._calls = before
            # Nothing sent outlives it: another object may come to have the same fingerprint.
            for sent in (self._everywhere, self._sent, self._held):
                sent.clear()

    def _marked(self, mark: str, work: Callable[[], Result]) -> Callable[[], Result]:
        """The work, during which this process knows that the others wait or serve."""

        def marked() -> Result:
            setattr(self, mark, True)
            try:
                return work()
            finally:
                setattr(self, mark, False)

        return marked

    def _shared_outcome(self, work: Callable[[], Result]) -> Result:
        if not self.leads:
            return self._outcome(*self._told())  # type: ignore[no-any-return]
        try:
            result = work()
            self.share(("result", result))
        except Exception as error:  # a signal may come in the middle of a message: then this process only ends
            if getattr(error, UNSENT, False):
                raise  # the others wait in a training, and end with this process
            try:
                self.share(("raised", _portable(error)))
            except InputError as lost:
                raise error from lost  # another rank has failed too, or first
            raise
        return result

    def _told(self) -> tuple[str, Any]:
        """What rank 0 sends next: a word and what belongs to it."""
        told: tuple[str, Any] = self.share(("", None))
        return told

    def _outcome(self, kind: str, payload: Any) -> Any:
        if kind == "raised":
            payload.said_elsewhere = True  # so that a command prints it once
            raise payload
        return payload

    # What rank 0 calls within `lead`.

    def together(self, name: str, function: Callable[..., Result], *arguments: Any) -> Result:
        """Every rank runs the function of this name at the same time; rank 0 gets its own result.

        What one rank raises is not sent to the others, which may wait for it in the middle of a training: they end
        when its process does.

        Args:
            name: Under which the other ranks have named theirs in ``lead``.
            function: This rank's.
            arguments: Of both; they are sent.
        """
        if not self._dealing:
            return function(*arguments)
        self.share(("call", (name, arguments)))
        self._dealing = False
        try:
            return function(*arguments)
        except Exception as error:
            setattr(error, UNSENT, True)
            raise
        finally:
            self._dealing = True

    def width(self, work: Callable[..., Any]) -> int:
        """How many units ``map`` computes at the same time."""
        owner = _owner(work)
        return self.size if self._dealing and owner is not None and self._is_everywhere(owner) else 1

    def map(self, work: Callable[..., Result], units: Sequence[tuple[Any, ...]]) -> list[Result]:
        """``[work(*unit) for unit in units]``, dealt out to the ranks where ``work`` is a method that can travel.

        Args:
            work: A bound method, also within ``functools.partial``, of an object with a ``fingerprint``, that its
                ``divisible`` names.
            units: Arguments of each call. Unit i goes to rank i mod ``size``.
        """
        if len(units) < 2 or self.width(work) == 1:
            return [work(*unit) for unit in units]
        method, fixed = _method(work)
        self.share(("units", (_owner(work).fingerprint, method.__name__, fixed)))
        return self._compute(work, units)

    def _compute(self, work: Callable[..., Any], units: Sequence[tuple[Any, ...]] | None = None) -> list[Any]:
        """Computes this rank's share; on rank 0 the results of all, in the order of the units."""
        mine: list[Any] = [None]
        dealt = None if units is None else [list(units[rank :: self.size]) for rank in range(self.size)]
        with self._explained():
            distributed.scatter_object_list(mine, dealt, src=0, group=self._group)
        try:
            done: tuple[list[Any], BaseException | None] = [work(*unit) for unit in mine[0]], None
        except Exception as error:
            done = [], _portable(error)
        gathered: list[Any] | None = [None] * self.size if self.leads else None
        with self._explained():
            distributed.gather_object(done, gathered, dst=0, group=self._group)
        if units is None or gathered is None:
            return []
        for _, failure in gathered:
            if failure is not None:
                raise failure
        results: list[Any] = [None] * len(units)
        for rank, (values, _) in enumerate(gathered):
            results[rank :: self.size] = values
        return results

    def _is_everywhere(self, owner: Any) -> bool:
        """Whether every rank holds the object by now; False where it cannot be sent."""
        key = owner.fingerprint
        if key not in self._everywhere:
            self.share(("known", key))
            everywhere = self.sum([1.0])[0] == self.size
            if not everywhere and (packed := _packed(owner)) is not None:
                self.share(("take", (key, packed)))
                self._sent.append(key)
                everywhere = True
                if len(self._sent) > HELD:
                    self._forget(self._sent.pop(0))
            self._everywhere[key] = everywhere
        return self._everywhere[key]

    def _forget(self, key: str) -> None:
        del self._everywhere[key]
        self.share(("forget", key))

    # What the other ranks do meanwhile.

    def _serve(self) -> Any:
        while True:
            kind, payload = self._told()
            if kind in ("result", "raised"):
                return self._outcome(kind, payload)
            if kind == "call":
                name, arguments = payload
                self._calls[name](*arguments)
            elif kind == "known":
                self.sum([float(payload in self._introduced or payload in self._held)])
            elif kind == "take":
                key, packed = payload
                self._held[key] = _unpacked(packed)
            elif kind == "forget":
                del self._held[payload]
            elif kind == "units":
                key, name, fixed = payload
                self._compute(partial(getattr(self._introduced.get(key) or self._held[key], name), **fixed))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """A connection that ends means that another process has ended."""
        try:
            yield
        except RuntimeError as error:
            self._lost(error)

    def _lost(self, error: Exception) -> NoReturn:
        raise lost(self.size, self.rank, error) from error


def lost(size: int, rank: int, error: Exception) -> InputError:
    """What a rank says that finds the connection with another one ended."""
    return InputError(
        expected=f"all {size} processes to work until the end",
        got=f"one that has ended (rank {rank} noticed: {' '.join(str(error).split())[:200]})",
        remedy="see what that process printed, and start the same command again: it resumes where it stopped",
    )


def at_once(parts: Sequence[Result], width: int) -> Iterator[Sequence[Result]]:
    """The parts in groups of ``width``."""
    return (parts[start : start + width] for start in range(0, len(parts), width))


def processes() -> Processes:
    """The processes of this run: those of torch.distributed where it is initialised, else this one alone."""
    if _Current.value is None or _Current.value.world is not _world():
        _Current.value = Processes()
    return _Current.value


def _world() -> Any:
    """The group of all processes; None where there is one."""
    return distributed.group.WORLD if num_processes() > 1 else None


class _Current:
    value: Processes | None = None


def _owner(work: Callable[..., Any]) -> Any:
    """The object of a bound method, where it says that other processes may compute it too."""
    method, _ = _method(work)
    owner = getattr(method, "__self__", None)
    return owner if getattr(method, "__name__", None) in getattr(owner, "divisible", ()) else None


def _method(work: Callable[..., Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    return (work.func, work.keywords) if isinstance(work, partial) else (work, {})


def _packed(owner: Any) -> bytes | None:
    """An object as bytes, without its store; None where it cannot be sent."""
    clone = copy.copy(owner)
    for name in ("store", "_temporary"):
        if hasattr(clone, name):
            setattr(clone, name, None)
    buffer = io.BytesIO()
    try:
        torch.save(clone, buffer)
    except Exception as error:  # whatever a user's object may raise
        logger.info("%s computes on rank 0 alone: it cannot be sent to another process (%s).", owner.name, error)
        return None
    return buffer.getvalue()


def _unpacked(packed: bytes) -> Any:
    """The object, on this process's card where it was on rank 0's."""
    here = f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu"
    cards = {f"cuda:{card}": here for card in range(torch.cuda.device_count())}
    owner = torch.load(io.BytesIO(packed), map_location=cards, weights_only=False)  # it comes from this run
    if getattr(owner, "device", torch.device("cpu")).type == "cuda":
        owner.moved_to(torch.device(here))
    return owner


def _portable(error: BaseException) -> BaseException:
    """An exception that can be sent; one that cannot becomes a RuntimeError with its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
