"""A model card of the host with one more section: whom the student learned from, and how."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub.repocard_data import eval_results_to_model_index
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.model_card import CrossEncoderModelCardData
from sentence_transformers.sentence_transformer.model_card import SentenceTransformerModelCardData

from st_mta.hub.lineage import lineage_section, summary
from st_mta.hub.losses import with_method
from st_mta.hub.public import public, public_values
from st_mta.hub.results import MEASURES, eval_results, evaluation_section, training_data
from st_mta.hub.secrets import without_secrets
from st_mta.report.markdown import in_markdown, values_in_markdown
from st_mta.report.schema import Report
from st_mta.report.wording import duration

TOP_ANCHOR, ANCHOR = "## Model Details", "### Framework Versions"
TOP = "{% if summary %}{{ summary }}\n{% endif %}"
SECTION = "{% if lineage %}### Distillation Lineage\n\n{{ lineage }}\n{% endif %}"
SEARCHING = "semantic search: finding the passages of a corpus that answer a query"
RERANKING = "re-ranking: ordering the passages that a search has found by how well they answer a query"
TAGS = ("generated_from_trainer", "knowledge-distillation", "st-mta")


@functools.cache
def _template_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that lives as long as the process, since the host reads its template at every save."""
    return tempfile.TemporaryDirectory(prefix="st_mta-model-card-")


def _template_with_lineage(host: type = SentenceTransformerModelCardData) -> Path:
    """The host's own template, of whatever version, with the section put into it."""
    text = Path(host.template_path).read_text(encoding="utf-8")  # type: ignore[attr-defined]
    path = Path(_template_folder().name) / f"{host.__name__}.md"
    path.write_text(insert_section(text), encoding="utf-8")
    return path


def insert_section(template: str) -> str:
    """The template with the summary above the details and the lineage before the framework's versions.

    Where there is no such place, the lineage goes to the end and the summary is left out.
    """
    if template.count(f"\n{TOP_ANCHOR}\n") == 1:
        template = template.replace(f"\n{TOP_ANCHOR}\n", f"\n{TOP}\n{TOP_ANCHOR}\n")
    if template.count(ANCHOR) != 1:
        return f"{template.rstrip()}\n\n{SECTION}\n"
    return template.replace(ANCHOR, f"{SECTION}\n{ANCHOR}")


class WithLineage:
    """Stands before the host's card data among the bases, and makes them tell the student's lineage.

    Attributes:
        report: The finished run's report; None gives the host's card.
        summary: Paragraph at the top, made from the report.
        lineage: Markdown of the section, made from the report.
    """

    what = "Retriever"
    report: Report | None
    model_name: str | None

    def get_training_duration_data(self) -> dict[str, str | None]:
        """Texts under "Training Time": the whole distillation's.

        The host would count from the start of the last iteration to the moment of saving, less all evaluations ever
        made: too much or even negative.
        """
        whole = None if self.report is None else duration(self.report["compute"]["total_seconds"])
        return {"training_time": whole, "evaluation_time": None, "total_time": None}

    def to_dict(self) -> dict[str, Any]:
        """Everything the template and the metadata are made of; the run's results take the place of the host's."""
        if self.report is not None and not self.model_name:
            self.model_name = f"{self.what} distilled on {public(self.report['collection']['name'])}"
        content: dict[str, Any] = super().to_dict()  # type: ignore[misc]
        report = content.pop("report", None)
        for name in ("all_hyperparameters", "non_default_hyperparameters"):
            content[name] = _without_paths(content[name])
        if report is not None:
            content["metrics"] = list(MEASURES)
            content["model-index"] = eval_results_to_model_index(content["model_name"], eval_results(report))
            content["eval_metrics"] = [evaluation_section(report)]
            content["model_name"] = in_markdown(content["model_name"])  # the template makes it the title
        return content


@dataclass
class LineageModelCardData(WithLineage, SentenceTransformerModelCardData):  # type: ignore[misc]
    """Of a bi-encoder."""

    report: Report | None = field(default=None, repr=False)
    summary: str = ""
    lineage: str = ""
    template_path: Path = field(default_factory=_template_with_lineage, init=False, repr=False)


@dataclass
class RerankerLineage(WithLineage, CrossEncoderModelCardData):  # type: ignore[misc]
    """Of a cross-encoder."""

    what = "Re-ranker"
    report: Report | None = field(default=None, repr=False)
    summary: str = ""
    lineage: str = ""
    template_path: Path = field(
        default_factory=functools.partial(_template_with_lineage, CrossEncoderModelCardData), init=False, repr=False
    )


def attach_lineage(model: Any, report: Report, *, made_from: Any = None) -> None:
    """Makes the model's card tell its lineage, from now on and at every save.

    Everything the host has gathered for the card stays; of several trainings only the last one's log. Calling it
    again replaces the lineage.

    Args:
        model: The student, a SentenceTransformer or a CrossEncoder.
        report: The finished run's report; the loss in it and the losses inside that are named and cited.
        made_from: The student as it came, where it is another object: its base model and languages are kept.
    """
    gathered = vars(model.model_card_data)
    shown = values_in_markdown(public_values(report))
    reranks = isinstance(model, CrossEncoder)
    told: dict[str, Any] = {"report": report, "summary": summary(shown), "lineage": lineage_section(shown)}
    data: Any = RerankerLineage(**told) if reranks else LineageModelCardData(**told)
    own = {"report", "summary", "lineage", "template_path"}
    for name in vars(data).keys() & gathered.keys() - own:
        setattr(data, name, gathered[name])
    if made_from is not None and not data.base_model:
        before = made_from.model_card_data
        data.base_model, data.base_model_revision = before.base_model, before.base_model_revision
        data.language = data.language or before.language
    if (loss := report.get("loss")) is not None:
        data.tags = [tag for tag in data.tags if not tag.startswith("loss:")]
        # Of a loss the host reads the name of its class and the citation.
        cited = {name: {"citation": text} if text else {} for name, text in loss["citations"].items()}
        data.set_losses([type(name, (), own_citation)() for name, own_citation in cited.items()])
        data.train_datasets = [training_data(report, loss)]
    data.citations = with_method(data.citations)
    data.tags = _clean_tags(data.tags)
    data.training_logs = _last_training(data.training_logs)
    data.datasets = list(dict.fromkeys([*data.datasets, *filter(None, [report["collection"].get("hub_id")])]))
    data.task_name = RERANKING if reranks else SEARCHING
    data.ir_model = True  # the usage example then shows encode_query and encode_document
    model.model_card_data = data
    data.register_model(model)


def _without_paths(values: dict[str, Any]) -> dict[str, Any]:
    """Hyperparameters without secrets, and without those that name a folder of the machine."""
    kept: dict[str, Any] = without_secrets(values)
    return {key: value for key, value in kept.items() if not (isinstance(value, str) and public(value) != value)}


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
