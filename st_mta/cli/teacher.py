"""Makes a teacher: a cross-encoder tuned on your collection, fused with other scorers where that is better.

Example:
  st-mta teacher --base minilm --collection my-data --output-dir teacher --fuse-with bm25 minilm
"""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.cli.show import wide_console
from st_mta.cli.tuning import TuningConfig
from st_mta.options import option
from st_mta.ranges import count_from
from st_mta.recipes.make_teacher import FUSION_NAME, make_teacher
from st_mta.recipes.options import INPUTS
from st_mta.report import console_table


@dataclass(frozen=True, kw_only=True)
class Config(TuningConfig):
    """Options of ``st-mta teacher``."""

    fuse_with: list[str] = option(
        factory=list,
        group=INPUTS,
        basic=True,
        help="Scorers to fuse the cross-encoder with, by weights fitted on dev: named as for distill.",
    )
    labels_from: str | None = option(
        None,
        group=INPUTS,
        basic=True,
        help="A scorer that labels queries without judgements, named as for distill.",
    )
    num_candidates: int = option(64, within=count_from(2), help="Passages per development query to compare on.")


def run(config: Config) -> None:
    """Makes the teacher and prints what was compared."""
    found = make_teacher(**config.arguments())
    rows = [
        {
            "Scorer": name,
            "nDCG@10": f"{quality:.3f}",
            "Weight in the fusion": f"{found.weights[name]:.3g}" if name in found.weights else "–",
        }
        for name, quality in found.ndcg.items()
    ]
    console = wide_console()
    title = f"Re-ranking {found.candidates:.0f} candidates of {found.queries} development queries"
    console.print(console_table(rows, title=title))
    if FUSION_NAME in found.ndcg:
        console.print("The fusion was fitted on one half of the queries and measured on the other, both ways.")
    console.print(f"st-mta distill --teacher {found.teacher} ...", soft_wrap=True)
