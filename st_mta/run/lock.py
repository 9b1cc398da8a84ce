"""One process at a time in an output folder."""

from __future__ import annotations

import errno
import functools
import inspect
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from st_mta.errors import InputError
from st_mta.outputs import check_output_folder

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

LOCK = ".lock"
"""Name of the locked file; it is there only while a process works in the folder, or after that process was killed."""
_held: dict[str, tuple[int, int]] = {}  # real path of a folder -> thread and file descriptor

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def one_at_a_time(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A function that works in a folder, its ``output_dir`` or its ``config``'s, while no other process does.

    Of several processes that work together the first holds the lock, for all.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def locking(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        given = signature.bind(*args, **kwargs).arguments
        place = given["output_dir"] if "output_dir" in given else given["config"].output_dir
        from st_mta.processes import processes  # brings torch, which a lock alone does without

        with ExitStack() as held:
            processes().on_leader(lambda: held.enter_context(locked(check_output_folder(place))))
            return function(*args, **kwargs)

    return locking


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes out of a folder; the system ends the lock with the process, however that ends.

    The folder is made, and removed again where nothing was put into it. Where the file system has no locks, a
    warning is logged.

    Args:
        folder: May be locked by this thread already.

    Raises:
        InputError: If another process or thread works in it, or it cannot be written to.
    """
    place = os.path.realpath(folder)
    if _held.get(place, (None,))[0] == threading.get_ident():
        yield
        return
    made = make_folder(folder)
    path = folder / LOCK
    try:
        descriptor = _acquire(path)
        _held[place] = threading.get_ident(), descriptor
        try:
            yield
        finally:
            del _held[place]
            with suppress(OSError):
                path.unlink()  # before the lock ends, so that the next process does not lock a file without a name
            os.close(descriptor)
    finally:
        for parent in made:
            with suppress(OSError):
                parent.rmdir()


def _acquire(path: Path) -> int:
    """Descriptor of the locked file, which names this process."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        except OSError as error:
            raise _unwritable(path.parent, error) from error
        try:
            _flock(descriptor, path)
            if _is_at(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its owner has just removed it


def _flock(descriptor: int, path: Path) -> None:
    try:
        if fcntl is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            logger.warning(
                f"{path.parent} cannot be locked ({error.strerror}): take care that no other process works in it."
            )
            return
        other = os.read(descriptor, 300).decode(errors="replace") or "another process"
        raise InputError(
            expected=f"an output folder that no other process works in ({path.parent})",
            got=f"one in which {other} works",
            consequence="the two would replace each other's files",
            remedy="wait until it is done, end it, or name another --output-dir",
        ) from error


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def make_folder(folder: Path) -> list[Path]:
    """Makes a folder; returns those that were missing, the innermost first.

    Raises:
        InputError: If it cannot be made.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return missing


def _unwritable(folder: Path, error: OSError) -> InputError:
    return InputError(
        expected=f"an output folder that can be written to ({folder})",
        got=f"{error.strerror}: {error.filename}",
        remedy="name another --output-dir, or change its permissions",
    )


def _close_in_child() -> None:
    """A worker process of a data loader must not keep the lock of a parent that was killed."""
    for _, descriptor in _held.values():
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
