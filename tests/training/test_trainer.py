"""The whole flow on a toy collection: contract of the output folder, resume, honesty."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from sentence_transformers import SentenceTransformer

from st_mta.collections import from_dictionaries
from st_mta.errors import InputError
from st_mta.evaluation import evaluate_run
from st_mta.scorers import BM25, BiEncoderScorer
from st_mta.stores.fingerprints import fingerprint_model
from st_mta.training import checkpoints
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.stages import train as train_stage
from st_mta.training.trainer import MultiAssistantTrainer
from st_mta.trec import read_run
from tests.tiny import tiny_sentence_transformer
from tests.training.toy_run import killed, toy_trainer


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def precision(request):
    """The flow is the same in both, whatever the CPU at hand can do."""
    return request.param


@pytest.fixture(scope="module")
def finished(tmp_path_factory, toy_collection, precision):
    folder = tmp_path_factory.mktemp("run")
    report = toy_trainer(folder / "out", folder / "store", toy_collection, precision=precision).train()
    return folder, report


def weights(folder):
    return SentenceTransformer(str(folder), device="cpu").state_dict()


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def test_the_output_folder_holds_everything(finished):
    folder, report = finished
    out = folder / "out"
    for part in ("student", "runs/student.trec", "report.json", "report.md", "iteration-00/candidates.parquet"):
        assert (out / part).exists(), part
    assert "<svg" in (out / "report.html").read_text(encoding="utf-8")
    assert len(list((out / "plots").glob("*.png"))) == 5
    assert json.loads((out / "report.json").read_text())["recovered"] == report["recovered"]
    assert not list(out.rglob("checkpoint-*"))


def test_the_report_says_what_the_run_files_say(finished, toy_collection):
    folder, report = finished
    for entry in [report["teacher"], *report["assistants"], report["student_before"], report["student"]]:
        run = read_run(folder / "out" / "runs" / f"{entry['name']}.trec")
        assert evaluate_run(run, toy_collection.qrels["test"])["ndcg@10"] == pytest.approx(entry["ndcg@10"])
    assert report["recovered"] == pytest.approx(report["student"]["ndcg@10"] / report["teacher"]["ndcg@10"])
    assert [entry["iteration"] for entry in report["iterations"]] == [0, 1]
    assert all(sum(entry["selected"].values()) == pytest.approx(1, abs=1e-4) for entry in report["iterations"])
    for entry in report["iterations"]:
        course = entry["selected_over_steps"]  # here every step is logged
        means = {name: sum(shares) / len(shares) for name, shares in course["shares"].items()}
        assert len(course["steps"]) > 2 and means == pytest.approx(entry["selected"], abs=1e-3)
    assert report["compute"]["training_sequences"] > 0


def test_the_student_has_learned_something(finished):
    folder, report = finished
    assert fingerprint_model(SentenceTransformer(str(folder / "out/student"))) != fingerprint_model(
        SentenceTransformer(str(folder / "out/student-before"))
    )
    assert report["iterations"][-1]["dev"]["ndcg@10"] > report["development"]["student_before"]


def test_the_card_tells_the_lineage(finished):
    folder, _ = finished
    card = ModelCard.load(folder / "out" / "student" / "README.md")
    assert "bm25" in card.text and "MTA4DPR" in card.text
    assert len(card.data.tags) == len(set(card.data.tags))


def test_a_finished_run_answers_from_its_journal(finished, precision, toy_collection, monkeypatch):
    folder, report = finished
    monkeypatch.setattr(train_stage, "train_with_checkpoints", lambda *_, **__: pytest.fail("trained again"))
    again = toy_trainer(folder / "out", folder / "store", toy_collection, precision=precision).train(
        resume_from_checkpoint=True
    )
    assert again["student"] == report["student"] and again["compute"] == report["compute"]


def test_another_folder_scores_nothing_again_and_ends_with_the_same_student(finished, precision, toy_collection):
    folder, _ = finished
    report = toy_trainer(folder / "other", folder / "store", toy_collection, precision=precision).train()
    assert report["compute"]["pairs_scored"] == 0 and report["compute"]["pairs_reused"] > 0
    assert report["compute"]["passages_encoded"] == 0 and report["compute"]["queries_encoded"] == 0
    assert_same(weights(folder / "out/student"), weights(folder / "other/student"))


@pytest.mark.parametrize("stage", ["warm-up", "mine", "score", "train", "promote", "test"])
def test_a_run_that_breaks_resumes_to_the_same_student(
    finished, precision, toy_collection, tmp_path, monkeypatch, stage
):
    if precision == "bf16" and stage != "train":
        pytest.skip("what is recorded between stages is the same in both number formats")
    folder, _ = finished
    shutil.copytree(folder / "store", tmp_path / "store")
    broken = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, precision=precision)
    with killed(monkeypatch, stage):
        broken.train()
    toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, precision=precision).train(
        resume_from_checkpoint=True
    )
    assert_same(weights(folder / "out/student"), weights(tmp_path / "out/student"))


@pytest.mark.parametrize("step", [6, 9], ids=["in the warm-up", "in an iteration"])
def test_a_training_killed_after_a_checkpoint_goes_on_bit_for_bit(
    finished, precision, toy_collection, tmp_path, monkeypatch, step
):
    folder, _ = finished
    steps = []
    real = checkpoints.StageTrainer.training_step

    def dying(self, *arguments, **keywords):
        steps.append(1)
        if len(steps) == step:
            raise RuntimeError("killed")
        return real(self, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.StageTrainer, "training_step", dying)
        with pytest.raises(RuntimeError, match="killed"):
            toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, precision=precision).train()
    assert list((tmp_path / "out").rglob("checkpoint-*"))
    toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, precision=precision).train(
        resume_from_checkpoint=True
    )
    assert_same(weights(folder / "out/student"), weights(tmp_path / "out/student"))


def test_a_begun_run_is_not_overwritten_by_accident(finished, precision, toy_collection):
    folder, _ = finished
    with pytest.raises(InputError, match="resume_from_checkpoint"):
        toy_trainer(folder / "out", folder / "store", toy_collection, precision=precision).train()


def test_another_configuration_does_not_go_on_in_the_same_folder(finished, precision, toy_collection):
    folder, _ = finished
    with pytest.raises(InputError, match="alpha"):
        trainer = toy_trainer(folder / "out", folder / "store", toy_collection, alpha=0.3, precision=precision)
        trainer.train(resume_from_checkpoint=True)


def test_the_same_model_as_teacher_and_student_is_refused(toy_collection, tmp_path):
    from st_mta import MultiAssistantTrainer
    from tests.training.toy_run import toy_arguments

    with pytest.raises(InputError, match="not its own teacher"):
        MultiAssistantTrainer(
            tiny_sentence_transformer(1),
            toy_arguments(tmp_path),
            teacher=tiny_sentence_transformer(1),
            collection=toy_collection,
        )


def test_teacher_and_assistants_are_not_touched(toy_collection, tmp_path):
    assistant = tiny_sentence_transformer(3)
    before = {name: tensor.clone() for name, tensor in assistant.state_dict().items()}
    trainer = toy_trainer(
        tmp_path / "out",
        tmp_path / "store",
        toy_collection,
        assistants=[BiEncoderScorer(assistant, name="A")],
        num_iterations=1,
    )
    trainer.train()
    assert_same(before, assistant.state_dict())


def test_a_collection_without_queries_is_learned_from_crops(toy_collection, tmp_path):
    words = toy_collection.corpus.take(range(len(toy_collection.corpus)))
    bare = from_dictionaries("bare", {f"p{i}": f"{text} {words[i - 1]}" for i, text in enumerate(words)})
    report = toy_trainer(tmp_path / "out", tmp_path / "store", bare, num_iterations=1, num_crops=24).train()
    assert report["split"] == "dev" and report["iterations"][0]["queries"] > 0
    # Nobody but the teacher has judged the development queries, so it agrees with itself.
    assert report["teacher"]["ndcg@10"] == pytest.approx(1.0) and report["student"]["ndcg@10"] < 1.0
    assert (tmp_path / "out" / "dev-qrels.tsv").exists()


def test_an_iteration_that_makes_the_student_worse_is_not_kept(toy_collection, tmp_path):
    trainer = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, num_iterations=1, learning_rate=100.0)
    report = trainer.train()
    assert report["best_iteration"] == -1
    assert report["iterations"][0]["dev"]["ndcg@10"] <= report["warm_up"]["dev_ndcg@10"]
    assert_same(weights(tmp_path / "out" / "warm-up" / "student"), weights(tmp_path / "out" / "student"))


def test_no_assistants_is_plain_distillation(toy_collection, tmp_path):
    report = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, assistants=[], num_iterations=1).train()
    assert report["assistants"] == [] and report["iterations"][0]["promoted"] is None


@pytest.mark.parametrize("given", ["bm25", Path("bm25"), BM25(), 3])
def test_one_assistant_without_brackets_is_refused(given, toy_collection, tmp_path):
    with pytest.raises(InputError, match=r"Expected a list of assistants, got .*assistants=\[\.\.\.\]"):
        toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, assistants=given)


@pytest.mark.parametrize(("given", "names"), [(None, []), ((one for one in ["bm25"]), ["bm25"])])
def test_assistants_may_be_none_or_come_from_a_generator(given, names, toy_collection, tmp_path):
    trainer = MultiAssistantTrainer(
        tiny_sentence_transformer(1),
        MultiAssistantTrainingArguments(str(tmp_path / "out"), use_cpu=True),
        teacher=BiEncoderScorer(tiny_sentence_transformer(2)),
        assistants=given,
        collection=toy_collection,
    )
    assert [scorer.name for scorer in trainer.distillation.pool.assistants] == names
