"""What is no student is refused before its weights are read, with what to use instead."""

from __future__ import annotations

import json
import re
import shutil
import time

import pytest
import torch
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling
from transformers import BertForMaskedLM, BertModel, Qwen3ForCausalLM

from st_mta import MultiAssistantTrainer, prune_layers, prune_vocabulary
from st_mta.errors import InputError
from st_mta.scorers import load_student
from st_mta.scorers.late_interaction import token_by_token
from tests.tiny import saved, tiny_config, tiny_cross_encoder, tiny_sentence_transformer, tiny_tokenizer
from tests.training.student_kinds import STUDENTS, qwen


def sparse(folder):
    BertForMaskedLM(tiny_config()).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    modules = [Transformer(str(folder), transformer_task="fill-mask"), SpladePooling()]
    return SparseEncoder(modules=modules, device="cpu")


OTHERS = {
    "cross-encoder": lambda folder: tiny_cross_encoder(1),
    "late-interaction": lambda folder: token_by_token(tiny_sentence_transformer(1)),
    "sparse": sparse,
}


def doors(student, kind=""):
    """All places where a student comes in; a cross-encoder may be one where lists are trained on or layers are cut."""
    yield lambda: load_student(student)
    yield lambda: prune_vocabulary(student, ["the cat"])
    if kind != "cross-encoder":
        yield lambda: prune_layers(student, [0])
        yield lambda: MultiAssistantTrainer(student, teacher="nowhere", collection="nowhere")


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("given", ["object", "folder"])
def test_other_encoders_are_no_students(kind, given, tmp_path, monkeypatch):
    model = OTHERS[kind](tmp_path / "base")
    student = model if given == "object" else tmp_path / "model"
    if given == "folder":
        saved(model, student)
        (student / "model.safetensors").unlink()  # weights are not looked at
    for door in doors(student, kind):
        begun = time.perf_counter()
        with pytest.raises(InputError, match="a bi-encoder.*To do: give it as teacher or assistant"):
            door()
        assert time.perf_counter() - begun < 1.0


def test_other_objects_are_no_students():
    for student in (BertModel(tiny_config()), None, 3):
        with pytest.raises(InputError, match="pass a SentenceTransformer"):
            load_student(student)


@pytest.fixture
def language_model(tmp_path):
    part = qwen()
    Qwen3ForCausalLM(part.model.config).save_pretrained(tmp_path / "lm")
    part.tokenizer.save_pretrained(tmp_path / "lm")
    return str(tmp_path / "lm")


def run_remedy(remedy: str, folder) -> SentenceTransformer:
    """Does what a message says."""
    names = {"SentenceTransformer": SentenceTransformer, "Transformer": Transformer, "Pooling": Pooling}
    names |= {"Normalize": Normalize}
    lines = re.search(r": ((?:t|model) = .*?\)(?:; model\.\w+\(.*?\))*)(?:, and|$)", remedy)[1]
    exec(lines.replace("'student'", repr(str(folder))), names)
    return names["model"]


def test_a_language_model_is_made_a_bi_encoder_by_what_the_message_says(language_model, tmp_path):
    with pytest.raises(InputError, match="a bare language model.*three lines") as caught:
        load_student(language_model)
    model = run_remedy(caught.value.remedy, tmp_path / "student")
    loaded = load_student(tmp_path / "student")
    assert loaded[1].pooling_mode == "lasttoken" and loaded.tokenizer.padding_side == "left"
    assert torch.equal(model.encode("a cat", convert_to_tensor=True), loaded.encode("a cat", convert_to_tensor=True))


def test_a_saved_bi_encoder_around_a_language_model_is_a_student(language_model, tmp_path):
    saved(SentenceTransformer(modules=[Transformer(language_model), Pooling(32, "lasttoken")]), tmp_path / "bi")
    config = tmp_path / "bi" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"architectures": ["Qwen3ForCausalLM"]}))
    load_student(tmp_path / "bi")


def test_a_masked_language_model_is_a_bare_encoder(tmp_path):
    BertForMaskedLM(tiny_config()).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert load_student(tmp_path).get_embedding_dimension() == 32


def trainable(model):
    return [name for name, weight in model.named_parameters() if weight.requires_grad]


def test_an_adapter_alone_is_put_into_its_base_by_what_the_message_says(tmp_path):
    whole = STUDENTS["LoRA"]()
    base = saved(
        SentenceTransformer(modules=[STUDENTS["mean"]()[0], Pooling(32, "mean"), Normalize()]), tmp_path / "b"
    )
    saved(whole, tmp_path / "whole")
    (tmp_path / "alone").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(tmp_path / "whole" / name, tmp_path / "alone")
    config = tmp_path / "alone" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": base}))
    with pytest.raises(InputError, match="an adapter without its model") as caught:
        load_student(tmp_path / "alone")
    model = run_remedy(caught.value.remedy, tmp_path)
    assert trainable(model) == trainable(whole)
    assert torch.equal(model.encode("a cat", convert_to_tensor=True), whole.encode("a cat", convert_to_tensor=True))


@pytest.mark.parametrize("kind", ["LoRA", "LoRA and a layer", "decoder with LoRA"])
def test_a_saved_adapter_is_trained_further_and_its_base_rests(kind, tmp_path):
    student = STUDENTS[kind]()
    loaded = load_student(saved(student, tmp_path))
    assert trainable(loaded) == trainable(student) != []
    assert loaded.state_dict().keys() == student.state_dict().keys()
