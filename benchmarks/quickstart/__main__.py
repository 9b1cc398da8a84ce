"""Runs the quickstart and keeps what the README shows: its output, report, plots and row of results.

python -m benchmarks.quickstart [--work DIR]
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.environment import environment

HERE = Path(__file__).parent
ROW = HERE.parent / "first_runs" / "pydocs.json"
COMMAND = "st-mta quickstart"
FOLDER = "quickstart-out"


def main() -> None:
    """One run into an empty folder with an empty store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=None, help="Working folder (a temporary one by default).")
    work = parser.parse_args().work or Path(tempfile.mkdtemp(prefix="quickstart-"))
    command = [sys.executable, "-m", "st_mta", *COMMAND.split()[1:], "--store", "store"]
    printed = subprocess.run(command, cwd=work, check=True, stdout=subprocess.PIPE, text=True).stdout
    (HERE / "output.txt").write_text(printed, encoding="utf-8")
    shutil.copy(work / FOLDER / "report.json", HERE / "report.json")
    for plot in (work / FOLDER / "plots").glob("*.png"):
        shutil.copy(plot, HERE / plot.name)
    report = json.loads((HERE / "report.json").read_text(encoding="utf-8"))
    row = {"command": COMMAND, "report": report, "environment": environment()}
    ROW.write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
    print(printed)


if __name__ == "__main__":
    main()
