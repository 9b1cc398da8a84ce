"""One iteration of st_mta beside the stock pipeline: same models, same lists, same steps, station by station.

    python -m benchmarks.speed [--queries 256] [--seeds 3] [--threads 1 2] [--precision fp32 bf16] [--work DIR]

Stock: mine_hard_negatives, CrossEncoder.predict, SentenceTransformer.encode, a stock trainer with DistillKLDivLoss,
InformationRetrievalEvaluator, with the host's defaults, in fp32 and in bf16; each station of st_mta is compared with
the quicker of the two. Every side, precision, number of threads and seed is a process of its own. What is done lies
in DIR, so that the command goes on where it was stopped; with another commit or machine it begins anew. The defaults
take some 25 minutes on two cores. Needs the collection openbookqa ($ST_MTA_DATA).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.environment import environment
from benchmarks.speed.configuration import all_configurations
from benchmarks.speed.page import headline, page
from benchmarks.speed.plots import plot_ratios
from benchmarks.speed.processes import entries
from benchmarks.speed.summary import summary
from st_mta.atomic import atomic_write_text
from st_mta.precision import PRECISIONS, cpu_multiplies_bf16_fast


def main() -> None:
    """Measures what is left to measure; writes result.json, result.md and ratios.png."""
    options = _options()
    for folder in (options.work, options.output):
        folder.mkdir(parents=True, exist_ok=True)
    chosen = all_configurations(options.queries, options.seeds, options.threads, options.precision)
    where = environment()
    result = summary(entries(chosen, options.work, where)) | {"environment": where}
    atomic_write_text(options.output / "result.json", json.dumps(result, indent=2) + "\n")
    atomic_write_text(options.output / "result.md", page(result))
    plot_ratios(result, options.output / "ratios.png")
    print(headline(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=256, help="Training queries, 32 per step.")
    parser.add_argument("--seeds", type=int, default=3, help="Rounds, each with another seed of the training.")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--precision",
        nargs="+",
        choices=list(PRECISIONS),
        default=["fp32", "bf16"] if cpu_multiplies_bf16_fast() else ["fp32"],
        help="Of both sides (default: fp32, and bf16 where the CPU multiplies it faster).",
    )
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "st_mta-speed")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="Folder for the results.")
    return parser.parse_args()


if __name__ == "__main__":
    main()
