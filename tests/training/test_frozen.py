"""What the user froze stays frozen: through the warm-up, every iteration, promotion and resume."""

from __future__ import annotations

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

from st_mta.training.regression import trainable_columns
from tests.tiny import saved, tiny_sentence_transformer
from tests.training.toy_run import killed, toy_trainer


def frozen_embeddings():
    student = tiny_sentence_transformer(1)
    student[0].auto_model.embeddings.requires_grad_(False)
    return student, "embeddings"


def frozen_document_tower():
    towers = [tiny_sentence_transformer(seed) for seed in (1, 5)]
    query, document = ([tower[0], Pooling(32, pooling_mode="mean")] for tower in towers)
    student = SentenceTransformer(modules=[Router.for_query_document(query, document), Normalize()], device="cpu")
    for name, weight in student.named_parameters():
        weight.requires_grad_(".document" not in name)
    return student, ".document"


def lora(tmp_path):
    peft = pytest.importorskip("peft")
    base = tiny_sentence_transformer(1)
    base[0].auto_model.save_pretrained(tmp_path / "base")
    base.tokenizer.save_pretrained(tmp_path / "base")
    modules = [Transformer(str(tmp_path / "base")), Pooling(32, pooling_mode="mean"), Normalize()]
    student = SentenceTransformer(modules=modules, device="cpu")
    config = peft.LoraConfig(
        task_type=peft.TaskType.FEATURE_EXTRACTION, r=4, lora_alpha=8, target_modules=["query", "value"]
    )
    student.add_adapter(config)
    return student, "base_layer"


KINDS = {
    "embeddings": lambda folder: frozen_embeddings(),
    "Router": lambda folder: frozen_document_tower(),
    "LoRA": lora,
}


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_weights_rest_and_the_others_learn(toy_collection, tmp_path, monkeypatch, kind):
    student, part = KINDS[kind](tmp_path)
    trainable = {name for name, weight in student.named_parameters() if weight.requires_grad}
    before = {name: weight.detach().clone() for name, weight in student.named_parameters()}
    assert any(part in name for name in before.keys() - trainable)
    options = {"student": student, "learning_rate": 1e-2, "regression_epochs": 4.0}
    with killed(monkeypatch, "evaluate"):
        toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options).train()
    trainer = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options)
    report = trainer.train(resume_from_checkpoint=True)
    assert report["warm_up"] is not None and report["warm_up"]["steps"] > 0
    students = [trainer.distillation.students.load(tmp_path / "out" / name / "student") for name in (
        "warm-up", "iteration-00", "iteration-01"
    )]  # fmt: skip
    for trained in [*students, trainer.model]:
        now = dict(trained.named_parameters())
        assert {name for name, weight in now.items() if weight.requires_grad} == trainable
        moved = {name for name in before if not torch.equal(before[name], now[name])}
        assert moved <= trainable, f"{len(moved - trainable)} frozen weights have moved"
        assert moved or trained is trainer.model  # which may be delivered as it came


def test_a_student_whose_embeddings_cannot_change_skips_the_warm_up_and_says_why(tmp_path):
    student = tiny_sentence_transformer(1)
    student.requires_grad_(False)
    student[0].auto_model.pooler.requires_grad_(True)  # no embedding depends on it
    assert trainable_columns(student, {}) == []
    student[0].auto_model.encoder.requires_grad_(True)
    assert trainable_columns(student, {}) == ["query", "documents"]
    assert trainable_columns(frozen_document_tower()[0], {}) == ["query"]


def test_the_users_object_is_trained_in_place_and_keeps_what_is_its_own(toy_collection, tmp_path):
    student = tiny_sentence_transformer(1)
    student.my_own_field = "kept"
    trainer = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, student=student, num_iterations=1)
    trainer.train()
    assert trainer.model is student and student.my_own_field == "kept"
    final = SentenceTransformer(str(tmp_path / "out" / "student"), device="cpu").state_dict()
    assert all(torch.equal(final[name], weight) for name, weight in student.state_dict().items())


def test_saved_students_load_in_the_host_alone(toy_collection, tmp_path):
    toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, num_iterations=1).train()
    folder = saved(SentenceTransformer(str(tmp_path / "out" / "student"), device="cpu"), tmp_path / "again")
    assert SentenceTransformer(folder, device="cpu").encode("the cat").shape == (32,)
