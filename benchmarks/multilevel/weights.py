"""How much the word level should weigh, judged on development queries alone.

    python -m benchmarks.multilevel.weights [--collections NAME ...] [--only TRIAL ...] [--work-dir DIR]

Every word-level loss beside contrastive + sentence, at two weights, one seed each. Resumable; the test split is not
read.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.assistants.arms import Arm
from benchmarks.assistants.material import Material
from benchmarks.assistants.trials import run_trials
from benchmarks.multilevel.arms import BASELINE, LEVELS, WORD, Levels, Readers, loss_of
from benchmarks.multilevel.budgets import BUDGETS

TRIED = (0.1, 1.0)


def trials_of(material: Material) -> dict[str, Arm]:
    """The sentence level alone, then every word-level loss at every weight."""
    readers = Readers(material)
    levels = {BASELINE: LEVELS[BASELINE]}
    levels |= {f"{name} {weight:g}": Levels("", word={name: weight}) for name in WORD for weight in TRIED}
    return {f"word level {name}": Arm(name, loss_of(of_one, readers)) for name, of_one in levels.items()}


if __name__ == "__main__":
    run_trials(__doc__, "weights", BUDGETS["cpu"], trials_of, Path(__file__).parent)
