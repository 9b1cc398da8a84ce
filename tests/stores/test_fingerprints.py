from __future__ import annotations

import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from st_mta.stores import fingerprint_model
from tests.tiny import saved, tiny_cross_encoder, tiny_sentence_transformer


def change_one_weight(model):
    with torch.no_grad():
        list(model.parameters())[-1].view(-1)[3].add_(1e-6)


def change_a_prompt(model):
    model.prompts = {**model.prompts, "query": "question: "}


def change_the_length(model):
    model.max_seq_length = 17


def change_the_similarity(model):
    model.similarity_fn_name = "dot"


def change_the_pooling(model):
    model[1].pooling_mode = "cls"


def change_the_backbone(model):
    model.config.layer_norm_eps = 1e-5


def change_the_precision(model):
    model.to(torch.bfloat16)


def change_the_tokenizer(model):
    model.tokenizer.add_tokens(["zebra"])


CHANGES = [
    change_one_weight,
    change_a_prompt,
    change_the_length,
    change_the_similarity,
    change_the_pooling,
    change_the_backbone,
    change_the_precision,
    change_the_tokenizer,
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_the_scores_changes_the_fingerprint(change):
    model = tiny_sentence_transformer(prompts={"query": "q: "})
    before = fingerprint_model(model)
    change(model)
    assert fingerprint_model(model) != before


def test_extra_facts_are_part_of_the_fingerprint():
    model = tiny_cross_encoder()
    assert fingerprint_model(model, precision="fp32") != fingerprint_model(model, precision="bf16")


def test_a_bi_encoder_saved_and_loaded_has_the_same_fingerprint(tmp_path):
    model = tiny_sentence_transformer(prompts={"query": "q: "})
    before = fingerprint_model(model)
    loaded = SentenceTransformer(saved(model, tmp_path), device="cpu")
    assert fingerprint_model(loaded) == before


def test_a_cross_encoder_saved_and_loaded_has_the_same_fingerprint(tmp_path):
    model = tiny_cross_encoder()
    before = fingerprint_model(model)
    assert fingerprint_model(CrossEncoder(saved(model, tmp_path), device="cpu")) == before


def test_using_a_model_does_not_change_its_fingerprint():
    model = tiny_sentence_transformer()
    before = fingerprint_model(model)
    model.encode(["the cat", "a much longer text about the sea and the wind"], batch_size=1)
    model.train()
    assert fingerprint_model(model) == before


def test_models_of_another_seed_differ():
    assert fingerprint_model(tiny_cross_encoder(0)) != fingerprint_model(tiny_cross_encoder(1))


def test_adapters_of_equal_weights_are_told_apart_by_their_settings():
    peft = pytest.importorskip("peft")

    def adapted(alpha):
        model = tiny_sentence_transformer(1)
        config = peft.LoraConfig(
            task_type=peft.TaskType.FEATURE_EXTRACTION, r=4, lora_alpha=alpha, target_modules=["query"]
        )
        torch.manual_seed(0)
        model.add_adapter(config)
        return model

    assert fingerprint_model(adapted(4)) == fingerprint_model(adapted(4)) != fingerprint_model(adapted(64))
