"""Which assistants to bring: who agrees with the teacher, before anything is trained.

Example:
  st-mta diagnose --collection pydocs --teacher minilm --assistants bm25 out/student --output-dir diagnosis
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from st_mta.assistants.pool import AssistantPool
from st_mta.atomic import atomic_write_text
from st_mta.cli.show import wide_console
from st_mta.collections import load_collection, with_dev_split
from st_mta.lookup import check_choice
from st_mta.options import option
from st_mta.outputs import check_output_folder
from st_mta.recipes.diagnose import Agreement, DiagnoseOptions, Diagnosis, diagnose
from st_mta.recipes.options import INPUTS, OnCollection, Scoring
from st_mta.report import console_table
from st_mta.report.plots.agreement import plot_agreement
from st_mta.scorers import load_scorer


@dataclass(frozen=True, kw_only=True)
class Config(DiagnoseOptions, Scoring, OnCollection):
    """Options of ``st-mta diagnose``."""

    teacher: str = option(group=INPUTS, help="The strong ranker, named as for distill.")
    assistants: list[str] = option(group=INPUTS, help="The assistants to judge, named like the teacher.")
    output_dir: str = option(group=INPUTS, help="Folder for diagnosis.json and agreement.png.")


def run(config: Config) -> None:
    """Compares every assistant and fusion with the teacher."""
    folder = check_output_folder(config.output_dir)
    collection = load_collection(config.collection)
    if config.split == "dev":
        collection = with_dev_split(collection, config.seed)
    check_choice("split", config.split, collection.qrels)
    options = config.scorer_options()
    teacher, *assistants = (load_scorer(name, options) for name in [config.teacher, *config.assistants])
    pool = AssistantPool(teacher, assistants)
    found = diagnose(collection, pool, [scorer for scorer in pool.scorers if scorer.can_retrieve], config)
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
    roles = ["teacher", *("fusion" if entry.temperature is None else "assistant" for entry in found.members)]
    return [_row(role, entry) for role, entry in zip(roles, [found.teacher, *found.members])]


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
    sentences = [f"Closest to the teacher: {one.name} (KL {one.kl:.3f})." for one in found.members[:1]]
    if found.weights is not None:
        weights = ", ".join(f"{name} {weight:.2f}" for name, weight in found.weights.items())
        sentences.append(f"Weights fitted on the judgements of these queries: {weights}.")
    if better := ", ".join(found.better_than_teacher):
        sentences.append(f"Better than the teacher on these candidates: {better}. A better teacher would teach more.")
    sentences += [
        f"The scores of {entry.name} look like a sigmoid's: give raw logits."
        for entry in [found.teacher, *found.members]
        if entry.sigmoid
    ]
    return sentences
