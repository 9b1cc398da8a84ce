"""What large joins put on disk, and whether the process that did so still lives."""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path

SPILL = "spill"


def spill_name() -> str:
    """A name for this process's next folder of spilled data."""
    return f"{SPILL}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def may_be_running(folder: Path) -> bool:
    """Whether the process that made such a folder may still live: it does on this machine, or ran on another one."""
    host, _, process = folder.name.removeprefix(f"{SPILL}-").rpartition("-")[0].rpartition("-")
    if not host or not process.isdigit():  # as versions before named it
        return False
    return host != socket.gethostname() or _is_running(int(process))


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
