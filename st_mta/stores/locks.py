"""Locks that the operating system takes away from a process that dies, however it dies."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: processes then do not see each other, which costs double work and nothing else
    HAS_LOCKS = False
else:
    HAS_LOCKS = True

WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
POLL = 0.01
LOCKS = "locks"
"""A folder of lock files in each room of the store; they are empty, and claims."""


def open_lock(path: Path) -> int:
    """A descriptor of a lock file, which is made if missing, together with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


def take(descriptor: int, shared: bool = False) -> bool:
    """Tries to lock an open file; whether it is ours now. File systems without locks say yes to everybody."""
    if not HAS_LOCKS:
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in WITHOUT_LOCKS
    return True


@contextmanager
def locked(path: Path, timeout: float = 0.0) -> Iterator[bool]:
    """Holds a lock file for the length of the block.

    Args:
        path: The lock file; it stays.
        timeout: Seconds to wait for another process at most.

    Yields:
        Whether the lock was free in time.

    Raises:
        OSError: If the file cannot be made.
    """
    descriptor, end = open_lock(path), time.monotonic() + timeout
    try:
        while not (mine := take(descriptor)) and time.monotonic() < end:
            time.sleep(POLL)
        yield mine
    finally:
        os.close(descriptor)
