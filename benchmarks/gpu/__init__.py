"""Whether st_mta is right and quick on a GPU: correctness, speed beside the host, and where a step waits."""

from __future__ import annotations
