"""Correctness and speed on a GPU, in stages that fail and end by themselves.

    python -m benchmarks.gpu [--dry] [--only STAGE ...] [--pack FOLDER] [--output FOLDER] [--limit SECONDS]

Every stage is a process of its own with its own limit; what it finds is written as it goes. Stages that are done are
not run again, so that the command goes on where it was stopped. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.gpu.page import JSON, PAGE
from benchmarks.gpu.record import DONE
from benchmarks.gpu.running import Plan, run_all
from benchmarks.gpu.stages import STAGES
from benchmarks.gpu.unpack import unpacked

LIMIT, DRY_LIMIT = 530.0, 1800.0
"""Seconds for everything: nine minutes with the time to unpack and to end."""
ROOT = Path(__file__).parents[2]


def main() -> None:
    """Runs the stages; exits with 1 if one of them did not end well."""
    options = _options()
    work = options.work or Path(tempfile.gettempdir()) / ("st_mta-gpu-dry" if options.dry else "st_mta-gpu")
    output = options.output or (work / "results" if options.dry else Path(__file__).parent)
    for folder in (work, output):
        folder.mkdir(parents=True, exist_ok=True)
    _environment(unpacked(options.pack, work / "pack") if options.pack else None)
    stages = [stage for name, stage in STAGES.items() if name in (options.only or STAGES)]
    limit = options.limit or (DRY_LIMIT if options.dry else LIMIT)
    plan = Plan(stages, output, work, limit, options.dry, options.again)
    contents = run_all(plan)
    print(f"{output / JSON} and {output / PAGE}")
    chosen = {stage.name for stage in stages}
    sys.exit(any(content["status"] != DONE for content in contents if content["stage"] in chosen))


def _environment(site: Path | None) -> None:
    """What all processes inherit: where modules and collections are, and that nothing is fetched."""
    places = [str(ROOT), *([str(site / "site")] if site else [])]
    for place in reversed(places):
        sys.path.insert(0, place)
    inherited = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    os.environ["PYTHONPATH"] = os.pathsep.join([*places, *inherited])
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    if site is not None:
        os.environ["ST_MTA_DATA"] = str(site / "data")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="Toy sizes on the CPU, to see that everything runs.")
    parser.add_argument("--only", nargs="+", choices=list(STAGES), metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--pack", type=Path, default=None, help="What python -m benchmarks.gpu.pack wrote.")
    parser.add_argument("--output", type=Path, default=None, help="Folder for result.json and result.md.")
    parser.add_argument("--work", type=Path, default=None, help="Folder for stages' files, models and runs.")
    parser.add_argument("--limit", type=float, default=None, help=f"Seconds for all stages together ({LIMIT:.0f}).")
    parser.add_argument("--again", action="store_true", help="Run stages anew that are done.")
    return parser.parse_args()


if __name__ == "__main__":
    main()
