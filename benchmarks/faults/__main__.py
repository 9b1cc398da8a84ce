"""Causes faults of every kind and counts which of them are survived.

    python -m benchmarks.faults [--work DIR] [--only CATEGORY ...] [--seed 0]

Survived is the right result (equal to that of a run that nothing disturbed), or one clear message; never a traceback,
never other numbers. Models of two layers, 60 passages. What was tried is kept in DIR/done.jsonl, so that the command
goes on where it was stopped; result.json holds the counts, and every drill that was not survived with what happened.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

# Before anything of the host is imported, here and in every process forked from here.
os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", ST_MTA_PRECISION="fp32")
os.environ.setdefault("ST_MTA_CACHE", tempfile.mkdtemp(prefix="faults-cache-"))


def main() -> None:
    """Runs what is left to run, and writes the result."""
    from benchmarks.faults.drills import BEFORE, all_drills
    from benchmarks.faults.material import Material
    from benchmarks.faults.places import unmount_left
    from benchmarks.faults.running import entries, outcomes

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "st_mta-faults")
    parser.add_argument("--only", nargs="+", choices=BEFORE, help="Categories (default: all).")
    parser.add_argument("--most", type=int, help="Drills per category (default: all).")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("result.json"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    unmount_left(options.work.resolve())
    material = Material(options.work.resolve())
    log = options.work / "done.jsonl"
    chosen = [drill for drill in all_drills(options.seed) if not options.only or drill.category in options.only]
    counted: dict[str, int] = {}
    drills = []
    for drill in chosen:
        counted[drill.category] = counted.get(drill.category, 0) + 1
        if options.most is None or counted[drill.category] <= options.most:
            drills.append(drill)
    known = {(entry["category"], entry["name"]) for entry in entries(log)}
    for entry in outcomes(material, [drill for drill in drills if (drill.category, drill.name) not in known]):
        with open(log, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        if entry["outcome"] or entry["seconds"] > 1:
            print(f"{entry['category']:24} {entry['name']:44.44} {entry['outcome'] or 'survived'}", flush=True)
    wanted = {(drill.category, drill.name) for drill in drills}
    done = [entry for entry in entries(log) if (entry["category"], entry["name"]) in wanted]
    result = summary(done, options.seed)
    options.output.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(result["categories"], indent=1))
    sys.exit(0 if not result["not_survived"] else 1)


def summary(done: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """The counts per category beside those of before, and what was not survived."""
    from benchmarks.environment import environment
    from benchmarks.faults.drills import BEFORE

    categories = {}
    for name, before in BEFORE.items():
        tried = [entry for entry in done if entry["category"] == name and not entry["skipped"]]
        if tried:
            survived = sum(not entry["outcome"] for entry in tried)
            categories[name] = {"tried": len(tried), "survived": survived, "before": before}
    return {
        "command": "python -m benchmarks.faults",
        "seed": seed,
        "seconds_of_all_drills": round(sum(entry["seconds"] for entry in done)),
        "categories": categories,
        "not_survived": [
            {name: entry[name] for name in ("category", "name", "outcome")}
            for entry in done
            if entry["outcome"] and not entry["skipped"]
        ],
        "skipped": [
            {name: entry[name] for name in ("category", "name", "outcome")} for entry in done if entry["skipped"]
        ],
        "environment": environment(),
    }


if __name__ == "__main__":
    main()
