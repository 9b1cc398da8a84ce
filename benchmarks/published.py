"""all-MiniLM-L6-v2 on SciFact, against the published nDCG@10 of 0.645 (MTEB, max length 256).

python -m benchmarks.published
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.environment import data_folder, environment

PUBLISHED, TOLERANCE = 0.645, 0.003
RESULT = Path(__file__).parent / "published" / "result.json"


def main() -> None:
    """Runs ``st-mta evaluate`` and compares."""
    with tempfile.TemporaryDirectory() as work:
        command = ["evaluate", "--model", "minilm", "--collection", f"{data_folder()}/scifact"]
        options = ["--max-length", "256", "--output-dir", work, "--store", f"{work}/store"]
        subprocess.run([sys.executable, "-m", "st_mta", *command, *options], check=True)
        measured = json.loads((Path(work) / "results.json").read_text())["minilm"]["scifact"]
    result = {
        "command": "st-mta evaluate --model minilm --collection scifact --max-length 256 --output-dir out",
        "measured": measured,
        "published_ndcg@10": PUBLISHED,
        "within_tolerance": abs(measured["ndcg@10"] - PUBLISHED) <= TOLERANCE,
        "environment": environment(),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(not result["within_tolerance"])


if __name__ == "__main__":
    main()
