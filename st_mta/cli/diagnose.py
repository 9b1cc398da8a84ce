"""``st-mta diagnose``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from st_mta.assistants.calibration import check_calibration
from st_mta.assistants.fusion import check_fusion
from st_mta.assistants.pool import AssistantPool
from st_mta.atomic import atomic_write_text
from st_mta.cli.parse import parse
from st_mta.cli.show import wide_console
from st_mta.collections import load_collection, with_dev_split
from st_mta.recipes.diagnose import Agreement, Diagnosis, diagnose
from st_mta.report import console_table
from st_mta.report.plots.agreement import plot_agreement
from st_mta.scorers import ScorerOptions, load_scorer
from st_mta.stores import Store


@dataclass
class DiagnoseConfig:
    """Options of ``st-mta diagnose``."""

    collection: str = field(metadata={"help": "A folder in BEIR layout, a Hub data set, a BEIR name, or pydocs."})
    teacher: str = field(metadata={"help": "The strong ranker, named as for distill."})
    assistants: list[str] = field(metadata={"help": "The assistants to judge, named like the teacher."})
    output_dir: str = field(metadata={"help": "Folder for diagnosis.json and agreement.png."})
    split: str = field(default="dev", metadata={"help": "Whose queries (dev is cut from train where there is none)."})
    num_candidates: int = field(default=32, metadata={"help": "Passages per query, from everybody who can search."})
    max_queries: int = field(default=500, metadata={"help": "At most so many queries."})
    fusion: str = field(
        default="mean", metadata={"help": "Fusing assistants: mean, rrf, weighted or module:function."}
    )
    combinations: str = field(default="all", metadata={"help": "Which combinations are shown: all, pairs or none."})
    calibration: str = field(
        default="temperature", metadata={"help": "Bringing scorers to one scale: temperature, zscore or affine."}
    )
    max_length: int | None = field(default=None, metadata={"help": "Longest text in tokens."})
    seed: int = field(default=42, metadata={"help": "Seed of the samples."})
    store: str | None = field(default=None, metadata={"help": "Folder of stored scores and embeddings."})
    precision: str = field(default="auto", metadata={"help": "auto (bf16 where it is faster), fp32 or bf16."})


def run(arguments: list[str]) -> None:
    """Compares every assistant and fusion with the teacher, before anything is trained."""
    config = parse(DiagnoseConfig, arguments, "diagnose", "Which assistants to bring: who agrees with the teacher.")
    check_fusion(config.fusion)
    check_calibration(config.calibration)
    collection = load_collection(config.collection)
    if config.split == "dev":
        collection = with_dev_split(collection, config.seed)
    options = ScorerOptions(Store(config.store), config.precision, max_length=config.max_length)
    teacher, *assistants = (load_scorer(name, options) for name in [config.teacher, *config.assistants])
    pool = AssistantPool(teacher, assistants)
    found = diagnose(
        collection,
        config.split,
        pool,
        [scorer for scorer in pool.scorers if scorer.can_retrieve],
        num_candidates=config.num_candidates,
        max_queries=config.max_queries,
        fusion=config.fusion,
        combinations=config.combinations,
        calibration=config.calibration,
        seed=config.seed,
    )
    folder = Path(config.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write_text(folder / "diagnosis.json", json.dumps(asdict(found), indent=2) + "\n")
    plot_agreement(
        [(entry.name, entry.kl, entry.ndcg, entry.temperature is None) for entry in found.members],
        found.teacher.ndcg,
        folder / "agreement.png",
    )
    console = wide_console()
    title = f"{collection.name}, {config.split}: {found.queries:,} queries, {found.candidates:.1f} candidates each"
    console.print(console_table(diagnosis_rows(found), title=title))
    for sentence in advice(found):
        console.print(sentence)


def diagnosis_rows(found: Diagnosis) -> list[dict[str, str]]:
    """One printable row per scorer and fusion, the teacher first."""
    return [_row("teacher", found.teacher)] + [
        _row("assistant" if entry.temperature is not None else "fusion", entry) for entry in found.members
    ]


def _row(role: str, entry: Agreement) -> dict[str, str]:
    return {
        "Role": role,
        "Model": entry.name,
        "KL": f"{entry.kl:.3f}",
        "Footrule": f"{entry.footrule:.3f}",
        "RBO": f"{entry.rbo:.3f}",
        "Same best": f"{entry.top1:.0%}",
        "nDCG@10": f"{entry.ndcg:.3f}",
        "Temperature": "–" if entry.temperature is None else f"{entry.temperature:.3g}",
    }


def advice(found: Diagnosis) -> list[str]:
    """What the table means, in sentences."""
    sentences = []
    if found.members:
        closest = found.members[0]
        sentences.append(f"Closest to the teacher: {closest.name} (KL {closest.kl:.3f}).")
    if found.weights is not None:
        weights = ", ".join(f"{name} {weight:.2f}" for name, weight in found.weights.items())
        sentences.append(f"Weights fitted on the judgements of these queries: {weights}.")
    if found.better_than_teacher:
        better = ", ".join(found.better_than_teacher)
        sentences.append(f"Better than the teacher on these candidates: {better}. A better teacher would teach more.")
    sentences += [
        f"The scores of {entry.name} look like a sigmoid's: give raw logits."
        for entry in [found.teacher, *found.members]
        if entry.sigmoid
    ]
    return sentences
