"""Students: all weights there, trained in fp32 at the width they are used in, with the dropout that was asked for."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import (
    LlamaConfig,
    LlamaModel,
    ModernBertConfig,
    ModernBertModel,
    Qwen3Config,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
)

from st_mta.errors import InputError
from st_mta.recipes.tune import TuningSettings, tune
from st_mta.scorers import BiEncoderScorer, load_scorer, load_student
from st_mta.scorers.weights import in_full_precision
from st_mta.training.student_folders import StudentFolders
from st_mta.training.students import cut_as_used, dropout_set, prune_layers
from tests.tiny import saved, tiny_cross_encoder, tiny_sentence_transformer, tiny_tokenizer
from tests.training.toy_run import killed, toy_trainer

SIZES = {"vocab_size": 210, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}


def around(backbone, folder):
    backbone.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    modules = [Transformer(str(folder)), Pooling(16, pooling_mode="mean"), Normalize()]
    return SentenceTransformer(modules=modules, device="cpu")


def t5(layers, dropout=0.0):
    config = T5Config(
        vocab_size=210, d_model=16, d_kv=8, d_ff=16, num_layers=layers, num_heads=2, dropout_rate=dropout
    )
    config.initializer_factor = 3.0
    return T5EncoderModel(config)


def modern_bert(layers, dropout=0.0):
    options = {"cls_token_id": 2, "sep_token_id": 3, "initializer_range": 0.3, "attention_dropout": dropout}
    model = ModernBertModel(ModernBertConfig(**SIZES, **SPECIAL, **options, num_hidden_layers=layers))
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(weight, 1.0, 0.5)
    return model


def llama(layers, dropout=0.0):
    return LlamaModel(LlamaConfig(**SIZES, **SPECIAL, num_hidden_layers=layers, attention_dropout=dropout))


def qwen(layers, dropout=0.0):
    more = {"num_key_value_heads": 2, "head_dim": 8, "num_hidden_layers": layers, "attention_dropout": dropout}
    return Qwen3Model(Qwen3Config(**SIZES, **SPECIAL, **more))


# Layers


@pytest.mark.parametrize("make", [t5, modern_bert])
@pytest.mark.parametrize("keep", [[1, 3], [2, 3]])
def test_layers_that_do_not_survive_saving_are_refused_and_put_back(tmp_path, make, keep):
    student = around(make(4), tmp_path)
    before = student.encode(["the cat"], convert_to_tensor=True)
    with pytest.raises(InputError, match=rf"\[{keep[0]}, {keep[1]}\].*keep layer 0"):
        prune_layers(student, keep)
    assert student.config.num_hidden_layers == 4
    assert torch.equal(student.encode(["the cat"], convert_to_tensor=True), before)
    assert prune_layers(student, [0, 2]).config.num_hidden_layers == 2


@pytest.mark.parametrize("make", [llama, qwen])
def test_layers_of_one_build_may_be_any(tmp_path, make):
    student = prune_layers(around(make(4), tmp_path), [1, 3])
    assert [layer.self_attn.layer_idx for layer in student[0].auto_model.layers] == [0, 1]


# Number format


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_student_by_name_has_fp32_weights(tmp_path, dtype):
    folder = saved(tiny_sentence_transformer(1).to(dtype), tmp_path)
    assert next(SentenceTransformer(folder, device="cpu").parameters()).dtype == dtype
    assert {weight.dtype for weight in load_student(folder).parameters()} == {torch.float32}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_student_by_object_is_trained_in_a_copy_in_fp32(caplog, dtype):
    student = tiny_sentence_transformer(1).to(dtype)
    original = StudentFolders(student).original
    assert {weight.dtype for weight in original.parameters()} == {torch.float32}
    assert next(student.parameters()).dtype == dtype and f"weights in {str(dtype)[6:]}" in caplog.text


def test_frozen_weights_may_have_fewer_bits():
    student = tiny_sentence_transformer(1)
    student[0].auto_model.embeddings.to(torch.bfloat16).requires_grad_(False)
    kept = in_full_precision(student)
    assert kept[0].auto_model.embeddings.word_embeddings.weight.dtype == torch.bfloat16


def test_a_base_is_tuned_in_fp32(monkeypatch, tmp_path):
    class Stop(Exception):
        pass

    def stop(*_, **__):
        raise Stop

    monkeypatch.setattr("st_mta.recipes.tune.resolve_precision", stop)
    model = tiny_cross_encoder(1).to(torch.bfloat16)
    with pytest.raises(Stop):
        tune(model, None, None, TuningSettings(), tmp_path)
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.parametrize("precisions", [("bf16", "fp32"), ("fp32", "bf16"), ("fp32", "fp32"), ("bf16", "bf16")])
@pytest.mark.parametrize("by", ["object", "bf16 object", "name"])
def test_a_student_that_is_its_own_teacher_is_refused_in_any_precision(toy_collection, tmp_path, precisions, by):
    of_teacher, of_run = precisions
    student = tiny_sentence_transformer(1)
    teacher = saved(student, tmp_path / "m") if by == "name" else tiny_sentence_transformer(1)
    if by == "bf16 object":
        student, teacher = student.to(torch.bfloat16), teacher.to(torch.bfloat16)
    scorer = BiEncoderScorer(teacher, name="T", precision=of_teacher)
    with pytest.raises(InputError, match="its own teacher"):
        toy_trainer(tmp_path / "o", tmp_path / "s", toy_collection, student=student, teacher=scorer, precision=of_run)


# What is there


def without(folder, word, *, shape=None):
    path = f"{folder}/model.safetensors"
    weights = load_file(path)
    for key in [key for key in weights if word in key]:
        if shape is None:
            del weights[key]
        else:
            weights[key] = torch.zeros(shape)
    save_file(weights, path, metadata={"format": "pt"})
    return folder


def test_a_student_without_a_layers_weights_is_refused(tmp_path):
    folder = without(saved(tiny_sentence_transformer(1), tmp_path), "encoder.layer.1.output.dense")
    for load in (load_student, load_scorer):
        with pytest.raises(InputError, match=r"all weights of .*2 are missing.*layer\.1\.output\.dense\.bias"):
            load(folder)


def test_a_re_ranker_without_its_head_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"all weights of .*classifier\.bias"):
        load_scorer(without(saved(tiny_cross_encoder(1), tmp_path), "classifier"))


def test_a_student_may_lack_the_pooler_that_it_does_not_use(tmp_path):
    load_student(without(saved(tiny_sentence_transformer(1), tmp_path), "pooler"))


def test_a_cross_encoder_is_no_bi_encoder(tmp_path):
    folder = saved(tiny_cross_encoder(1), tmp_path / "m")
    with pytest.raises(InputError, match="saved as a cross-encoder"):
        load_student(folder)


# Dropout and width


def spread(model):
    """How far two forward passes in training mode are from each other."""
    model.train()
    features = model.preprocess(["the cat eats the fish and the bird flies"])
    one, two = (model(dict(features))["sentence_embedding"].detach() for _ in range(2))
    return float((one - two).abs().max())


@pytest.mark.parametrize("make", [t5, modern_bert, llama, qwen])
def test_dropout_reaches_functions_too(tmp_path, make):
    student = around(make(2, 0.5), tmp_path)
    config = student.config.to_dict()
    assert spread(student) > 0
    with dropout_set(student, 0.0):
        assert spread(student) == 0
    assert spread(student) > 0 and student.config.to_dict() == config
    with dropout_set(student, None):
        assert spread(student) > 0


def test_embeddings_are_as_wide_in_training_as_in_use():
    student = tiny_sentence_transformer(1, truncate_dim=8)
    features = student.preprocess(["the cat"])
    with cut_as_used(student):
        assert student(dict(features))["sentence_embedding"].shape == (1, 8)
    assert student(dict(features))["sentence_embedding"].shape == (1, 32)


def test_a_student_used_at_fewer_dimensions_is_trained_at_them(toy_collection, tmp_path, monkeypatch):
    student = tiny_sentence_transformer(1, truncate_dim=8)
    assistant = BiEncoderScorer(tiny_sentence_transformer(3, dim=8), name="A", precision="fp32")
    with killed(monkeypatch, "evaluate"):
        toy_trainer(tmp_path / "o", tmp_path / "s", toy_collection, student=student, assistants=[assistant]).train()
    assert SentenceTransformer(str(tmp_path / "o/iteration-00/student"), device="cpu").truncate_dim == 8
