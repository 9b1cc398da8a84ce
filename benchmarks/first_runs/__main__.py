"""One distillation per collection, each from the one command that is printed and kept with its result.

python -m benchmarks.first_runs openbookqa vaswani [--work DIR]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.environment import data_folder, environment

COMMON = (
    "--teacher minilm --student minilm --student-layers 0 3 5 "
    "--num-iterations 2 --num-candidates 6 --contrastive-weight 0.5 --learning-rate 3e-4 --max-length 64 --device cpu"
)
OPTIONS = {
    "openbookqa": "--assistants late-interaction:minilm bm25 --regression-epochs 2 --queries-per-iteration 1600",
    "vaswani": "--assistants bm25 --regression-epochs 2 --queries-per-iteration 320",
}


def main() -> None:
    """Runs the named collections one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=sorted(OPTIONS))
    parser.add_argument("--work", type=Path, default=None, help="Folder for the runs (a temporary one by default).")
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="first-runs-"))
    for name in options.names:
        shown = f"st-mta distill --collection {name} --output-dir out {COMMON} {OPTIONS[name]}"
        arguments = shown.split()[1:]
        arguments[2] = f"{data_folder()}/{name}"
        arguments[4] = str(work / name)
        subprocess.run([sys.executable, "-m", "st_mta", *arguments, "--store", str(work / "store")], check=True)
        report = json.loads((work / name / "report.json").read_text())
        result = {"command": shown, "report": report, "environment": environment()}
        path = Path(__file__).with_name(f"{name}.json")
        path.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
