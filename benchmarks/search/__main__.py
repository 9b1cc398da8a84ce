"""Search of a corpus: speed beside the host's evaluator, and two million passages killed, resumed and weighed.

python -m benchmarks.search speed scale [--passages 2000000] [--queries 1000] [--work DIR]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.environment import environment
from benchmarks.search.scale import measure
from benchmarks.search.speed import compare


def main() -> None:
    """Runs the named parts; each writes its own file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=("speed", "scale"))
    parser.add_argument("--passages", type=int, default=2_000_000, help="For scale.")
    parser.add_argument("--queries", type=int, default=1000, help="For scale.")
    parser.add_argument(
        "--work", type=Path, default=None, help="Working folder of scale (a temporary one by default)."
    )
    options = parser.parse_args()
    for part in options.parts:
        if part == "speed":
            result = compare()
        else:
            work = options.work or Path(tempfile.mkdtemp(prefix="search-"))
            result = measure(work, options.passages, options.queries)
        result["environment"] = environment()
        Path(__file__).with_name(f"{part}.json").write_text(json.dumps(result, indent=2) + "\n")
        print(json.dumps({key: value for key, value in result.items() if key != "environment"}, indent=2))


if __name__ == "__main__":
    main()
