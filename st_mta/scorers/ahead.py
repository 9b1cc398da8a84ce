"""Batches computed one after the other, two at a time where that keeps a GPU busy, smaller where memory ends."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch

from st_mta.errors import InputError
from st_mta.types import IntArray

Result = TypeVar("Result")
AT_ONCE = {"cuda": 2}
"""Batches in work by the type of the device: while one computes on a GPU, the CPU tokenises the next."""


class Batches:
    """Computes batches; how small they have to be for the device's memory is remembered.

    Args:
        device: The type of the device, such as "cuda".

    Attributes:
        split: Pieces that a batch is cut into.
    """

    def __init__(self, device: str) -> None:
        self.device, self.split = device, 1

    def each(
        self, batches: Iterable[IntArray], compute: Callable[[IntArray], Result]
    ) -> Iterator[tuple[IntArray, Result]]:
        """Every batch, or its pieces, with what was computed for it, in order.

        Args:
            batches: Indices of inputs.
            compute: Called with such indices, in several threads where several batches are in work.

        Raises:
            InputError: If the memory of the device does not suffice for a single input.
        """
        pieces = (piece for batch in batches for piece in np.array_split(batch, min(self.split, len(batch))))
        at_once = AT_ONCE.get(self.device, 1)
        if at_once == 1:
            for piece in pieces:
                yield from self._computed(piece, lambda piece=piece: compute(piece), compute)  # type: ignore[misc]
            return
        waiting: deque[tuple[IntArray, Future[Result]]] = deque()
        with ThreadPoolExecutor(at_once) as threads:
            for piece in pieces:
                waiting.append((piece, threads.submit(compute, piece)))
                if len(waiting) == at_once:
                    first, future = waiting.popleft()
                    yield from self._computed(first, future.result, compute)
            for piece, future in waiting:
                yield from self._computed(piece, future.result, compute)

    def _computed(
        self, piece: IntArray, result: Callable[[], Result], compute: Callable[[IntArray], Result]
    ) -> Iterator[tuple[IntArray, Result]]:
        try:
            found = result()
        except torch.OutOfMemoryError as error:
            if len(piece) == 1:
                raise _too_long(self.device, error) from error
        else:
            yield piece, found
            return
        _free(self.device)
        self.split *= 2
        for half in np.array_split(piece, 2):
            yield from self._computed(half, lambda half=half: compute(half), compute)  # type: ignore[misc]


def _free(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()


def _too_long(device: str, error: Exception) -> InputError:
    return InputError(
        expected=f"room for one text in the memory of {device}",
        got=f"none ({str(error).splitlines()[0]})",
        remedy="shorten texts (--max-length), end what else runs there, or take another device",
    )


def one_at_a_time(model: Any) -> None:
    """Lets only one thread tokenise with a model of the host: its tokenizer cannot be used by two at once.

    Args:
        model: A working copy, changed in place.
    """
    lock, preprocess = threading.Lock(), model.preprocess

    def locked(*given: Any, **named: Any) -> Any:
        with lock:
            return preprocess(*given, **named)

    model.preprocess = locked
