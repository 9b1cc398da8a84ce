"""The ledger of a run as tables: what was worked out, what the stores had, where the time went."""

from __future__ import annotations

from st_mta.report.schema import Compute
from st_mta.report.wording import NOTHING, duration


def reuse_rows(compute: Compute) -> list[dict[str, str]]:
    """Scoring and encoding, done and spared."""
    lines = [
        ("Pairs scored", compute["pairs_scored"], compute["pairs_reused"]),
        ("Passages encoded", compute["passages_encoded"], compute["passages_reused"]),
        ("Queries encoded", compute["queries_encoded"], compute["queries_reused"]),
    ]
    return [
        {"Work": work, "Done": f"{done:,}", "Taken from the store": f"{reused:,}", "Saved": _share(reused, done)}
        for work, done, reused in lines
    ]


def _share(reused: int, done: int) -> str:
    return f"{reused / (reused + done):.0%}" if reused + done else NOTHING


def training_sentence(compute: Compute) -> str:
    """Steps and texts of the student's training, and the time of everything."""
    return (
        f"The student trained for {compute['training_steps']:,} steps on {compute['training_sequences']:,} texts. "
        f"Everything took {duration(compute['total_seconds'])}."
    )


def station_seconds(compute: Compute) -> list[tuple[str, float]]:
    """Seconds by kind of station, the longest first ("iteration-00/mine" counts as "mine")."""
    seconds: dict[str, float] = {}
    for station, spent in compute["seconds"].items():
        kind = station.rsplit("/", 1)[-1]
        seconds[kind] = seconds.get(kind, 0.0) + spent
    return sorted(seconds.items(), key=lambda item: -item[1])


def station_rows(compute: Compute) -> list[dict[str, str]]:
    """Time and share of every kind of station."""
    total = compute["total_seconds"] or 1.0
    return [
        {"Station": kind, "Time": duration(spent), "Share": f"{spent / total:.0%}"}
        for kind, spent in station_seconds(compute)
    ]
