from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from datasets import Dataset
from huggingface_hub import ModelCard
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.model_card import SentenceTransformerModelCardData
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments
from torch import nn

from st_mta.hub import LineageModelCardData, attach_lineage
from st_mta.hub.lineage import lineage_section
from st_mta.hub.losses import METHOD, describe_loss, losses_of
from st_mta.hub.model_card import ANCHOR, SECTION, TOP, TOP_ANCHOR, insert_section
from st_mta.hub.results import MEASURES
from st_mta.losses import ListwiseKLLoss
from st_mta.scorers.origin import hub_origin
from tests.tiny import tiny_sentence_transformer

CITATION = "\n@misc{somebody-2024, title = {Assistants}}\n"


class CitedLoss(nn.Module):
    citation = CITATION


class CombinedLoss(nn.Module):
    """Two losses in a list, one of them deeper, and the model: what the host does not follow."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.losses = nn.ModuleList([nn.Sequential(CitedLoss()), ListwiseKLLoss(model)])


@pytest.fixture
def model():
    model = tiny_sentence_transformer()
    model.model_card_data.local_files_only = True
    return model


def saved_card(model, folder):
    model.save_pretrained(str(folder))
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_saved_card_tells_the_lineage(model, report, tmp_path):
    attach_lineage(model, report | {"loss": describe_loss(ListwiseKLLoss(model))})
    text = saved_card(model, tmp_path)
    places = [text.index(part) for part in (
        "# Retriever distilled on pydocs",
        "distilled from the teacher cross-encoder/ms-marco-MiniLM-L6-v2 and 2 assistants. The student reaches 97.1%",
        "## Model Details",
        "## Evaluation",
        "| teacher | cross-encoder/ms-marco-MiniLM-L6-v2, re-ranks minilm | 0.444 |",
        "| **student** | **student** | **0.431** |",
        "paired randomisation test",
        "## Training Details",
        "#### pydocs",
        "<code>st_mta.losses.listwise.ListwiseKLLoss</code> with these parameters",
        "### Distillation Lineage",
        "in 3 iterations",
        "| assistant | minilm | – | bi-encoder |",
        "| assistant | bm25 | – | bm25 |",
        "took the student from 0.303 to 0.417",
        "| **1** | **4,000** |",
        "81,230 query-passage pairs were scored",
        ANCHOR,
        "MTA4DPR and ListwiseKLLoss",
    )]  # fmt: skip
    assert places == sorted(places)
    assert "encode_query" in text


def test_the_saved_card_parses(model, report, tmp_path):
    attach_lineage(model, report)
    card = ModelCard(saved_card(model, tmp_path))
    assert card.data.library_name == "sentence-transformers"
    assert card.data.tags.count("st-mta") == card.data.tags.count("dense") == 1
    assert not {"lineage", "report", "summary"} & set(card.data.to_dict())


def test_the_results_are_in_the_hubs_evaluation_metadata(model, report, tmp_path):
    attach_lineage(model, report)
    results = ModelCard(saved_card(model, tmp_path)).data.eval_results
    assert {result.metric_type: result.metric_value for result in results} == {
        measure: report["student"][measure] for measure in MEASURES
    }
    assert {(result.dataset_type, result.dataset_name, result.dataset_split) for result in results} == {
        ("pydocs", "pydocs", "test")
    }


def test_datasets_of_the_hub_are_named_as_the_hub_names_them(model, report, tmp_path):
    report["collection"] |= {"name": "scifact", "hub_id": "mteb/scifact", "licence": "cc-by-nc-2.0"}
    attach_lineage(model, report | {"loss": describe_loss(ListwiseKLLoss(model))})
    card = ModelCard(saved_card(model, tmp_path))
    assert {(result.dataset_type, result.dataset_name) for result in card.data.eval_results} == {
        ("mteb/scifact", "scifact")
    }
    assert card.data.datasets == ["mteb/scifact"]
    assert "[scifact](https://huggingface.co/datasets/mteb/scifact)" in card.text
    assert "Licence of the data as its source states it: cc-by-nc-2.0." in card.text
    assert card.data.license is None  # That of the data is not that of the model.
    report["split"] = "dev"
    attach_lineage(model, report)
    results = ModelCard(saved_card(model, tmp_path)).data.eval_results
    assert {result.dataset_type for result in results} == {"scifact"}  # Nobody else has these queries.


def test_models_of_the_hub_are_named_with_their_revision(model, report):
    assert "| teacher | cross-encoder/ms-marco-MiniLM-L6-v2 | – |" in lineage_section(report)
    model.config._name_or_path, model.config._commit_hash = "org/teacher", "abcdef0" + 33 * "1"
    report["teacher"] |= {"name": "org/teacher", **hub_origin(model)}
    assert (
        "| teacher | [org/teacher](https://huggingface.co/org/teacher) "
        f"| [abcdef0](https://huggingface.co/org/teacher/tree/{'abcdef0' + 33 * '1'}) | cross-encoder |"
    ) in lineage_section(report)


def test_a_local_model_has_no_revision(model, tmp_path):
    nothing = {"hub_id": None, "revision": None}
    assert hub_origin(model) == hub_origin(None) == nothing
    for name in (str(tmp_path), "tests/hub", "../org/model"):
        model.config._name_or_path, model.config._commit_hash = name, "abcdef0"
        assert hub_origin(model) == nothing


def test_the_base_model_stays_known(model, report, tmp_path):
    before = tiny_sentence_transformer()
    before.model_card_data.base_model, before.model_card_data.language = "org/base", ["en"]
    attach_lineage(model, report, made_from=before)
    card = ModelCard(saved_card(model, tmp_path))
    assert (card.data.base_model, card.data.language) == ("org/base", ["en"])


def test_losses_inside_a_loss_are_named_and_cited(model, report, tmp_path):
    loss = CombinedLoss(model)
    assert [type(inner).__name__ for inner in losses_of(loss)] == ["CombinedLoss", "CitedLoss", "ListwiseKLLoss"]
    attach_lineage(model, report | {"loss": describe_loss(loss)})
    card = ModelCard(saved_card(model, tmp_path))
    assert {"loss:CombinedLoss", "loss:CitedLoss", "loss:ListwiseKLLoss"} <= set(card.data.tags)
    assert "#### CitedLoss\n```bibtex\n@misc{somebody-2024" in card.text


def test_the_method_and_the_library_are_cited_whatever_the_loss(model, report, tmp_path):
    assert METHOD == ListwiseKLLoss(model).citation
    for loss in (CitedLoss(), ListwiseKLLoss(model), None):
        attach_lineage(model, report | {"loss": None if loss is None else describe_loss(loss)})
        text = saved_card(model, tmp_path)
        assert text.count("@inproceedings{lu-etal-2024-mta4dpr") == 1
        assert text.count("@inproceedings{reimers-2019-sentence-bert") == 1
    assert "loss:CitedLoss" not in ModelCard(text).data.tags


class FittedLoss(nn.Module):
    """Everything a loss may have among its parameters."""

    class Targets:
        def get_config_dict(self):
            return {"assistants": ["late-interaction:/home/USER NAME/m", "bm25"], "temperatures": (0.5, 2)}

    def get_config_dict(self):
        return {
            "scale": np.float32(0.5), "layers": torch.arange(3), "steps": np.int64(3), "similarity": len,
            "model": nn.Identity(), "targets": self.Targets(), "limit": float("inf"), "none": None, "flag": True,
            "text": "Targets(assistants=['/home/USER NAME/t'])",
        }  # fmt: skip


def test_a_described_loss_is_json(model, report, tmp_path):
    described = describe_loss(FittedLoss())
    assert described == json.loads(json.dumps(described, allow_nan=False)) == {
        "class": "tests.hub.test_model_card.FittedLoss",
        "config": {
            "scale": 0.5, "layers": "tensor of shape (3,)", "steps": 3, "similarity": "len", "model": "Identity",
            "targets": {"class": "Targets", "assistants": ["late-interaction:/home/USER NAME/m", "bm25"],
                        "temperatures": [0.5, 2]},
            "limit": "inf", "none": None, "flag": True, "text": "Targets(assistants=['/home/USER NAME/t'])",
        },
        "citations": {"FittedLoss": ""},
    }  # fmt: skip
    attach_lineage(model, report | {"loss": described})
    text = saved_card(model, tmp_path)
    assert "USER" not in text and '"late-interaction:m"' in text and "Targets(assistants=['t'])" in text
    assert "<code>tests.hub.test_model_card.FittedLoss</code>" in text


def test_the_loss_comes_from_the_report_as_it_was_written(model, report, tmp_path):
    loss = ListwiseKLLoss(model, scale=7.5)
    kept = json.loads(json.dumps(describe_loss(CombinedLoss(model)), sort_keys=True))
    assert list(kept["citations"]) == ["CitedLoss", "CombinedLoss", "ListwiseKLLoss"]
    attach_lineage(model, report | {"loss": kept})
    assert "loss:CombinedLoss" in ModelCard(saved_card(model, tmp_path / "a")).data.tags
    attach_lineage(model, report | {"loss": describe_loss(loss)})
    text = saved_card(model, tmp_path / "b")
    assert '"scale": 7.5' in text and "loss:CombinedLoss" not in text


def test_an_evaluator_of_every_iteration_leaves_no_second_row(model, report, tmp_path):
    class Evaluator:
        name, primary_metric, description = "dev", "ndcg@10", "Information Retrieval"

    model.model_card_data.eval_results_dict = {Evaluator(): {"ndcg@10": 0.1}, Evaluator(): {"ndcg@10": 0.2}}
    attach_lineage(model, report)
    card = ModelCard(saved_card(model, tmp_path))
    assert len(card.data.eval_results) == len(MEASURES) == len(set(card.data["metrics"]))
    assert card.text.count("## Evaluation\n") == 1


def test_arguments_that_are_folders_of_this_machine_are_left_out(model, report, tmp_path):
    model.model_card_data.all_hyperparameters = {"seed": 1, "store": "/home/somebody/store", "lr": "linear"}
    attach_lineage(model, report)
    text = saved_card(model, tmp_path)
    assert "`lr`: linear" in text and "somebody" not in text


def test_everything_the_host_gathered_stays(model, report, tmp_path):
    train_on(model, tmp_path / "training")
    attach_lineage(model, report)
    text = saved_card(model, tmp_path / "student")
    for expected in (
        "MultipleNegativesRankingLoss",
        "per_device_train_batch_size",
        "### Training Logs",
        "reimers-2019-sentence-bert",
        "### Distillation Lineage",
    ):
        assert expected in text


def train_on(model, folder):
    rows = Dataset.from_dict({"query": ["cat", "dog"] * 2, "passage": ["a cat", "a dog"] * 2})
    arguments = SentenceTransformerTrainingArguments(
        str(folder), max_steps=1, report_to="none", use_cpu=True, logging_steps=1, save_strategy="no",
        per_device_train_batch_size=2,
    )  # fmt: skip
    loss = MultipleNegativesRankingLoss(model)
    SentenceTransformerTrainer(model, args=arguments, train_dataset=rows, loss=loss).train()


def test_no_doubled_tags_and_only_the_last_size(model, report):
    model.model_card_data.tags += ["loss:A", "dataset_size:10", "loss:A", "dataset_size:20", "dense"]
    attach_lineage(model, report)
    tags = model.model_card_data.tags
    assert len(tags) == len(set(tags))
    assert [tag for tag in tags if tag.startswith("dataset_size")] == ["dataset_size:20"]


def test_the_time_is_that_of_the_distillation(model, report, tmp_path):
    """The host's arithmetic gives a negative time once evaluations of several trainings are summed."""
    model.model_card_data._training_start_time = 4e9
    model.model_card_data.evaluation_duration = 1e6
    attach_lineage(model, report)
    assert re.findall(r"- \*\*(Training|Evaluation|Total)\*\*: (.+)", saved_card(model, tmp_path)) == [
        ("Training", "10 min 40 s")
    ]


def test_the_log_is_that_of_the_last_training(model, report):
    steps = [10, 20, 30, 10, 20, 5, 15]
    model.model_card_data.training_logs = [{"Step": step, "Epoch": 0.0} for step in steps]
    attach_lineage(model, report)
    assert [entry["Step"] for entry in model.model_card_data.training_logs] == [5, 15]


def test_attaching_again_replaces(model, report, tmp_path):
    attach_lineage(model, report)
    report["teacher"]["name"] = "another-teacher"
    attach_lineage(model, report)
    text = saved_card(model, tmp_path)
    assert text.count("### Distillation Lineage") == text.count(ANCHOR) == 1
    assert "another-teacher" in text and "ms-marco" not in text
    assert text.count("lu-etal-2024") == 1


def test_a_loaded_student_gets_a_new_card(model, report, tmp_path):
    saved_card(model, tmp_path / "before")
    student = SentenceTransformer(str(tmp_path / "before"), device="cpu", local_files_only=True)
    attach_lineage(student, report)
    assert "### Distillation Lineage" in saved_card(student, tmp_path / "after")


def test_a_template_of_the_users_own_does_not_hide_the_lineage(model, report, tmp_path):
    (tmp_path / "template.md").write_text("---\n{{ card_data }}\n---\n# Mine\n")
    model.model_card_data.template_path = tmp_path / "template.md"
    attach_lineage(model, report)
    assert "### Distillation Lineage" in saved_card(model, tmp_path / "student")


def test_a_card_without_lineage_is_the_hosts(model, tmp_path):
    model.model_card_data = LineageModelCardData(local_files_only=True)
    model.model_card_data.register_model(model)
    text = saved_card(model, tmp_path)
    assert "Lineage" not in text and ANCHOR in text


def test_the_hosts_template_has_the_place():
    """Where it has not, the section goes to the end: worth knowing when a new version of the host comes."""
    template = SentenceTransformerModelCardData.template_path.read_text(encoding="utf-8")
    changed = insert_section(template)
    assert changed.replace(f"{SECTION}\n{ANCHOR}", ANCHOR).replace(f"{TOP}\n{TOP_ANCHOR}", TOP_ANCHOR) == template
    assert changed.count(TOP) == changed.count(SECTION) == 1
    assert insert_section("# Card\n") == f"# Card\n\n{SECTION}\n"


def test_folders_of_this_machine_stay_private(model, report, tmp_path):
    report["teacher"]["name"] = "/home/somebody/models/teacher"
    report["assistants"][0]["name"] = "org/model"
    report["student"]["reranks"] = "top 100 of /home/somebody/first"
    report["iterations"][0]["selected"] = {"/home/somebody/a+/home/somebody/b": 1.0}
    report["iterations"][0]["promoted"] = "/home/somebody/a"
    report["warm_up"]["regressed_to"] = "/home/somebody/c"
    report["collection"]["name"] = "~/data/mine"
    report["collection"]["notes"] = ["Read from /home/somebody/data."]
    attach_lineage(model, report | {"loss": describe_loss(ListwiseKLLoss(model))})
    text = saved_card(model, tmp_path)
    assert "somebody" not in text and "~/" not in text and str(tmp_path) not in text
    for expected in (
        "the teacher teacher and 2",
        "| teacher | teacher, re-ranks",
        "| org/model |",
        "top 100 of first",
        "a+b 100%",
        "embeddings of c",
        "Read from data.",
        "Retriever distilled on mine",
    ):
        assert expected in text
