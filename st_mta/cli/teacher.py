"""``st-mta teacher``."""

from __future__ import annotations

from dataclasses import dataclass, field

from st_mta.cli.parse import parse
from st_mta.cli.show import wide_console
from st_mta.cli.tuning import TuningOptions
from st_mta.recipes.make_teacher import FUSION_NAME, make_teacher
from st_mta.report import console_table


@dataclass(frozen=True, kw_only=True)
class TeacherConfig(TuningOptions):
    """Options of ``st-mta teacher``."""

    fuse_with: list[str] = field(
        default_factory=list,
        metadata={"help": "Scorers to fuse the cross-encoder with, by weights fitted on dev: named as for distill."},
    )
    num_candidates: int = field(default=64, metadata={"help": "Passages per development query to compare on."})


def run(arguments: list[str]) -> None:
    """Tunes a cross-encoder on the collection, fuses it with others, and says which is best."""
    config = parse(TeacherConfig, arguments, "teacher", "Make a teacher: a cross-encoder tuned on your collection.")
    found = make_teacher(
        config.base,
        config.collection,
        config.output_dir,
        fuse_with=config.fuse_with,
        num_candidates=config.num_candidates,
        settings=config.settings(),
        store=config.store,
    )
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
