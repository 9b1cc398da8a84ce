"""Which words are worth knowing: every objective, scope and weighting against plain KL, all else being equal.

    python -m benchmarks.methods [--words WORD ...] [--seeds SEED ...]

The same warmed-up student, teacher, lists and steps for all. Resumable: runs that ended are kept in the work folder.
Needs the collections ($ST_MTA_DATA) and `pip install 'st-mta[bench-mpnet]'`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import platformdirs

from benchmarks.assistants.__main__ import quiet
from benchmarks.environment import data_folder, environment
from benchmarks.methods.material import SHARED, WARM_UP_EPOCHS, Shared
from benchmarks.methods.results import rows, run_word, tests, write
from benchmarks.methods.words import WORDS
from st_mta.report import markdown_table

HERE = Path(__file__).parent
CACHE = Path(platformdirs.user_cache_dir())


def main(arguments: list[str] | None = None) -> None:
    """Runs every word with every seed, seed by seed, so that a command that is cut short compares all words."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", nargs="+", choices=list(WORDS), help="Only these.", metavar="WORD")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--work-dir", type=Path, default=CACHE / "st_mta-methods")
    parser.add_argument("--models", type=Path, default=CACHE / "st_mta-assistants/mpnet", help="Shared with it.")
    parser.add_argument("--output", type=Path, default=HERE, help="Folder for result.json and result.md.")
    given = parser.parse_args(arguments)
    quiet()
    shared = Shared(data_folder(), given.work_dir, given.models)
    runs: dict[str, dict[int, dict[str, Any]]] = {word: {} for word in given.words or WORDS}
    for seed in given.seeds:
        for word in runs:
            runs[word][seed] = run_word(shared, word, seed)
            print(word, seed, runs[word][seed]["measures"], flush=True)
    result = {
        "against_kl": tests(runs),
        "shared": {**SHARED, "warm_up_epochs": WARM_UP_EPOCHS},
        "words_are": {word: WORDS[word] for word in runs},
        "environment": environment(),
    }
    table = markdown_table(rows(runs))
    write(runs, result, given.output, table)
    print(table)


if __name__ == "__main__":
    main()
