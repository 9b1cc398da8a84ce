from __future__ import annotations

import re

import pytest
from datasets import Dataset
from huggingface_hub import ModelCard
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.model_card import SentenceTransformerModelCardData
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

from st_mta.hub import LineageModelCardData, attach_lineage
from st_mta.hub.lineage import lineage_section
from st_mta.hub.model_card import ANCHOR, SECTION, insert_section
from tests.tiny import tiny_sentence_transformer

CITATION = "\n@misc{somebody-2024, title = {Assistants}}\n"


@pytest.fixture
def model():
    model = tiny_sentence_transformer()
    model.model_card_data.local_files_only = True
    return model


def saved_card(model, folder):
    model.save_pretrained(str(folder))
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_saved_card_tells_the_lineage(model, report, tmp_path):
    attach_lineage(model, report, CITATION)
    text = saved_card(model, tmp_path)
    section = text[text.index("### Distillation Lineage") : text.index(ANCHOR)]
    for expected in (
        "97.1% of its teacher's nDCG@10",
        "| teacher | cross-encoder/ms-marco-MiniLM-L6-v2, re-ranks minilm |",
        "| assistant | minilm |",
        "| assistant | bm25 |",
        "| **1** | **4,000** |",
        "took the student from 0.303 to 0.417",
    ):
        assert expected in section
    assert "#### Distillation\n```bibtex\n@misc{somebody-2024" in text
    assert text.index("## Training Details") < text.index("### Distillation Lineage")
    assert "encode_query" in text


def test_the_saved_card_parses(model, report, tmp_path):
    attach_lineage(model, report, CITATION)
    card = ModelCard(saved_card(model, tmp_path))
    assert card.data.library_name == "sentence-transformers"
    assert card.data.tags.count("st-mta") == card.data.tags.count("dense") == 1
    assert "lineage" not in card.data.to_dict()


def test_everything_the_host_gathered_stays(model, report, tmp_path):
    train_on(model, tmp_path / "training")
    attach_lineage(model, report, CITATION)
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
    attach_lineage(model, report, CITATION)
    tags = model.model_card_data.tags
    assert len(tags) == len(set(tags))
    assert [tag for tag in tags if tag.startswith("dataset_size")] == ["dataset_size:20"]


def test_the_time_is_that_of_the_distillation(model, report, tmp_path):
    """The host's arithmetic gives a negative time once evaluations of several trainings are summed."""
    model.model_card_data._training_start_time = 4e9
    model.model_card_data.evaluation_duration = 1e6
    attach_lineage(model, report, CITATION)
    assert re.findall(r"- \*\*(Training|Evaluation|Total)\*\*: (.+)", saved_card(model, tmp_path)) == [
        ("Training", "10 min 40 s")
    ]


def test_the_log_is_that_of_the_last_training(model, report):
    steps = [10, 20, 30, 10, 20, 5, 15]
    model.model_card_data.training_logs = [{"Step": step, "Epoch": 0.0} for step in steps]
    attach_lineage(model, report, CITATION)
    assert [entry["Step"] for entry in model.model_card_data.training_logs] == [5, 15]


def test_attaching_again_replaces(model, report, tmp_path):
    attach_lineage(model, report, CITATION)
    report["teacher"]["name"] = "another-teacher"
    attach_lineage(model, report)
    text = saved_card(model, tmp_path)
    assert text.count("### Distillation Lineage") == text.count(ANCHOR) == 1
    assert "another-teacher" in text and "ms-marco" not in text
    assert text.count("somebody-2024") == 1


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
    assert insert_section(template) == template.replace(ANCHOR, f"{SECTION}\n{ANCHOR}") != template
    assert insert_section("# Card\n") == f"# Card\n\n{SECTION}\n"


def test_folders_of_this_machine_stay_private(report):
    report["teacher"]["name"] = "/home/somebody/models/teacher"
    report["assistants"][0]["name"] = "org/model"
    report["student"]["reranks"] = "top 100 of /home/somebody/first"
    report["iterations"][0]["selected"] = {"/home/somebody/a+/home/somebody/b": 1.0}
    report["iterations"][0]["promoted"] = "/home/somebody/a"
    report["warm_up"]["regressed_to"] = "/home/somebody/c"
    section = lineage_section(report)
    assert "/home" not in section
    for expected in (
        "| teacher | teacher, re-ranks",
        "| org/model |",
        "top 100 of first",
        "a+b 100%",
        "embeddings of c",
    ):
        assert expected in section
