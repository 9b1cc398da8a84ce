"""Which calls wait for the GPU, with the lines that make them: as CUDA reports them, or as a CPU can tell.

On a GPU torch itself warns of every call that waits. On a CPU nothing waits; there calls are noted that would wait on
a GPU: values read back, tensors whose shape depends on values, masks as indices. Copies between host and device are
seen on a GPU alone.
"""

from __future__ import annotations

import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

ROOT = Path(__file__).parents[2]
PACKAGES = ("st_mta", "sentence_transformers", "transformers", "accelerate")
OURS = "st_mta"
SHAPED_BY_VALUES = (
    "_local_scalar_dense nonzero nonzero_numpy masked_select _unique _unique2 unique_dim unique_consecutive "
    "is_nonzero equal bincount histc"
).split()
READ_BACK = ("tolist", "cpu", "numpy", "__array__")
WARNING = "called a synchronizing CUDA operation"


class Waits:
    """The calls that waited.

    Attributes:
        places: "package/file.py:line function: what" -> how often. The innermost line of the package or its hosts.
        via: The innermost line of st_mta on the way to each place, "" where it is none.
    """

    def __init__(self) -> None:
        self.places: Counter[str] = Counter()
        self.via: dict[str, str] = {}

    def add(self, what: str) -> None:
        """Notes a call made from here."""
        frames = [frame for frame in traceback.extract_stack() if _package(frame.filename)]
        place = f"{_named(frames[-1])} {what}" if frames else what
        ours = [frame for frame in frames if _package(frame.filename) == OURS]
        self.places[place] += 1
        self.via[place] = _named(ours[-1]) if ours else ""

    @property
    def ours(self) -> list[str]:
        """Places in st_mta itself."""
        return sorted(place for place in self.places if place.startswith(f"{OURS}/"))

    @property
    def total(self) -> int:
        """How many calls waited."""
        return self.places.total()


@contextmanager
def waits(device: torch.device) -> Iterator[Waits]:
    """Within it, calls that wait are noted."""
    found = Waits()
    with _on_gpu(found) if device.type == "cuda" else _on_cpu(found):
        yield found


@contextmanager
def _on_gpu(found: Waits) -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        shown = warnings.showwarning

        def show(message: Any, *more: Any, **named: Any) -> None:
            if WARNING in str(message):
                found.add("waits")
            else:
                shown(message, *more, **named)

        warnings.showwarning = show
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)


@contextmanager
def _on_cpu(found: Waits) -> Iterator[None]:
    with _Calls(found), _Operations(found):
        yield


class _Calls(TorchFunctionMode):
    """Sees methods that read a tensor back without an operation."""

    def __init__(self, found: Waits) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in READ_BACK:
            self.found.add(func.__name__)
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees operations that read values, or whose result's shape depends on them."""

    def __init__(self, found: Waits) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in SHAPED_BY_VALUES or _masks(name, args):
            self.found.add(name)
        return func(*args, **(kwargs or {}))


def _masks(name: str, args: Any) -> bool:
    """Whether places are given as a mask, of which the number of true ones has to be known."""
    if name not in ("index", "index_put", "index_put_", "_index_put_impl_") or len(args) < 2:
        return False
    masks = [index for index in args[1] if index is not None and index.dtype in (torch.bool, torch.uint8)]
    # One number put at all places of a mask is a filling, which needs no places.
    return bool(masks) and not (name != "index" and len(args) > 2 and args[2].ndim == 0)


def _package(file: str) -> str:
    """The package of a file, "" where it is none of [`PACKAGES`]."""
    parts = Path(file).parts
    return next((name for name in PACKAGES if name in parts[:-1]), "")


def _named(frame: traceback.FrameSummary) -> str:
    parts = Path(frame.filename).parts
    package = _package(frame.filename)
    start = len(parts) - 1 - parts[::-1].index(package)
    return f"{'/'.join(parts[start:])}:{frame.lineno} {frame.name}:"
