"""A model card of the host with one more section: whom the student learned from, and how."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.model_card import SentenceTransformerModelCardData

from st_mta.evaluation.schema import Report
from st_mta.evaluation.wording import duration
from st_mta.hub.lineage import lineage_section

ANCHOR = "### Framework Versions"
SECTION = "{% if lineage %}### Distillation Lineage\n\n{{ lineage }}\n{% endif %}"
TAGS = ("generated_from_trainer", "knowledge-distillation", "st-mta")


@functools.cache
def _template_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that lives as long as the process, since the host reads its template at every save."""
    return tempfile.TemporaryDirectory(prefix="st_mta-model-card-")


def _template_with_lineage() -> Path:
    """The host's own template, of whatever version, with the section put into it."""
    text = Path(SentenceTransformerModelCardData.template_path).read_text(encoding="utf-8")
    path = Path(_template_folder().name) / "model_card_template.md"
    path.write_text(insert_section(text), encoding="utf-8")
    return path


def insert_section(template: str) -> str:
    """The template with the lineage before the framework's versions, or at the end where there is no such place."""
    if template.count(ANCHOR) != 1:
        return f"{template.rstrip()}\n\n{SECTION}\n"
    return template.replace(ANCHOR, f"{SECTION}\n{ANCHOR}")


@dataclass
class LineageModelCardData(SentenceTransformerModelCardData):  # type: ignore[misc]
    """The host's card data and the student's lineage.

    Attributes:
        lineage: Markdown of the section; empty leaves it out.
        training_seconds: Duration of the whole distillation. The host would count from the start of the last
            iteration to the moment of saving, less all evaluations ever made: too much or even negative.
    """

    lineage: str = ""
    training_seconds: float | None = None
    template_path: Path = field(default_factory=_template_with_lineage, init=False, repr=False)

    def get_training_duration_data(self) -> dict[str, str | None]:
        """Texts under "Training Time"."""
        seconds = self.training_seconds
        return {
            "training_time": None if seconds is None else duration(seconds),
            "evaluation_time": None,
            "total_time": None,
        }


def attach_lineage(model: SentenceTransformer, report: Report, citation: str = "") -> None:
    """Makes the model's card tell its lineage, from now on and at every save.

    Everything the host has gathered for the card stays; of several trainings only the last one's log. Calling it
    again replaces the lineage.

    Args:
        model: The student.
        report: The finished run's report.
        citation: BibTeX of the method; empty for none.
    """
    gathered = vars(model.model_card_data)
    data = LineageModelCardData(lineage=lineage_section(report), training_seconds=report["compute"]["total_seconds"])
    own = {"lineage", "training_seconds", "template_path"}
    for name in vars(data).keys() & gathered.keys() - own:
        setattr(data, name, gathered[name])
    data.tags = _clean_tags(data.tags)
    data.training_logs = _last_training(data.training_logs)
    data.citations = {**data.citations, **({"Distillation": citation} if citation else {})}
    data.ir_model = True  # the usage example then shows encode_query and encode_document
    model.model_card_data = data
    data.register_model(model)


def _clean_tags(tags: list[str]) -> list[str]:
    """Each tag once, one ``dataset_size:`` (the last one set), and the tags of a distilled model.

    "generated_from_trainer" also keeps the host from copying the card of the model the student was made of.
    """
    sizes = [tag for tag in tags if tag.startswith("dataset_size:")]
    others = [tag for tag in tags if not tag.startswith("dataset_size:")]
    return list(dict.fromkeys([*others, *TAGS, *sizes[-1:]]))


def _last_training(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries after the last restart of the step counter."""
    starts = [index for index in range(1, len(logs)) if logs[index]["Step"] < logs[index - 1]["Step"]]
    return logs[starts[-1] :] if starts else list(logs)
