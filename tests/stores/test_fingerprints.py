from __future__ import annotations

import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Module, Router
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

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


def cut_texts_on_the_left(model):
    model.tokenizer.truncation_side = "left"


def pad_on_the_left(model):
    model.tokenizer.padding_side = "left"


def give_no_segments(model):
    model.tokenizer.model_input_names = ["input_ids", "attention_mask"]


def exchange_an_activation(model):
    model[0].auto_model.encoder.layer[0].intermediate.intermediate_act_fn = torch.nn.ReLU()


def change_an_attribute_of_a_layer(model):
    model[0].auto_model.encoder.layer[1].output.LayerNorm.eps = 0.1


def change_the_segment_of_every_token(model):
    model[0].auto_model.embeddings.token_type_ids.fill_(1)


def hook_into_the_output(model):
    model[1].register_forward_hook(lambda module, given, features: {**features, "sentence_embedding": 0})


def replace_a_method(model):
    model.forward = lambda features, **_: features


def write_past_autograd(model):
    list(model.parameters())[-1].data.view(-1)[3] += 1e-6


CHANGES = [
    change_one_weight,
    change_a_prompt,
    change_the_length,
    change_the_similarity,
    change_the_pooling,
    change_the_backbone,
    change_the_precision,
    change_the_tokenizer,
    cut_texts_on_the_left,
    pad_on_the_left,
    give_no_segments,
    exchange_an_activation,
    change_an_attribute_of_a_layer,
    change_the_segment_of_every_token,
    hook_into_the_output,
    replace_a_method,
    write_past_autograd,
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


class Own(Module):
    """A module as users write them, without a word on its configuration."""

    def __init__(self, value, **_):
        super().__init__()
        self.value = value

    def forward(self, features, **_):
        return features

    def save(self, *_, **__):
        pass


class OwnBuffer(Own):
    def __init__(self, value):
        super().__init__(None)
        self.register_buffer("shift", torch.tensor(value), persistent=False)


class Nested:
    def __init__(self, value):
        self.inside = {"table": [value]}


def scale_one(values):
    return values


def scale_two(values):
    return values * 2


@pytest.mark.parametrize(
    "make, one, two",
    [
        (Own, 4, 5),
        (Own, torch.zeros(3), torch.ones(3)),
        (Own, Nested(1), Nested(2)),
        (Own, scale_one, scale_two),
        (Own, {"a", "b"}, {"a", "c"}),
        (OwnBuffer, 0.5, 1.5),
    ],
)
def test_what_a_module_of_the_users_own_holds_counts(make, one, two):
    def fingerprint(value):
        model = tiny_sentence_transformer(normalize=False)
        model.append(make(value))
        return fingerprint_model(model)

    assert fingerprint(one) == fingerprint(one) != fingerprint(two)


def test_the_source_of_a_module_of_the_users_own_counts():
    def fingerprint(factor):
        kind = type("Own", (Own,), {"forward": scale_one if factor == 1 else scale_two})
        model = tiny_sentence_transformer(normalize=False)
        model.append(kind(0))
        return fingerprint_model(model)

    assert fingerprint(1) != fingerprint(2)


@pytest.mark.parametrize("setting", ["truncation_side", "padding_side"])
def test_a_setting_that_is_saved_is_the_same_when_loaded(tmp_path, setting):
    model = tiny_sentence_transformer()
    setattr(model.tokenizer, setting, "left")
    before = fingerprint_model(model)
    loaded = SentenceTransformer(saved(model, tmp_path), device="cpu")
    assert getattr(loaded.tokenizer, setting) == "left" and fingerprint_model(loaded) == before


def test_both_sides_of_a_cross_encoder_are_told_apart():
    left, right = tiny_cross_encoder(), tiny_cross_encoder()
    left.tokenizer.truncation_side = "left"
    assert fingerprint_model(left) != fingerprint_model(right)


def test_a_template_that_a_model_reads_by_counts():
    def fingerprint(template):
        model = tiny_sentence_transformer()
        model.tokenizer.chat_template, model.tokenizer.padding_side = template, "left"
        return fingerprint_model(model)

    assert fingerprint("{{ messages }}") == fingerprint("{{ messages }}") != fingerprint("the {{ messages }}")


def test_a_tower_of_a_router_counts_with_its_pooling():
    def fingerprint(mode, side="right"):
        query, document = tiny_sentence_transformer(1), tiny_sentence_transformer(2)
        document.tokenizer.truncation_side = side
        towers = [query[0], Pooling(32, pooling_mode="mean")], [document[0], Pooling(32, pooling_mode=mode)]
        return fingerprint_model(
            SentenceTransformer(modules=[Router.for_query_document(*towers), Normalize()], device="cpu")
        )

    assert fingerprint("mean") == fingerprint("mean") != fingerprint("cls")
    assert fingerprint("mean") != fingerprint("mean", "left")


def test_an_ordinary_model_is_known_by_weights_and_configuration_alone(monkeypatch):
    """So that stores and runs of versions that knew nothing else are still good."""
    model, cross_encoder = tiny_sentence_transformer(), tiny_cross_encoder()
    with_everything = fingerprint_model(model), fingerprint_model(cross_encoder)
    monkeypatch.setattr("st_mta.stores.peculiarities.peculiarities", lambda model: {})
    assert (fingerprint_model(model), fingerprint_model(cross_encoder)) == with_everything


def rotary(**changes):
    from transformers import Qwen3Config, Qwen3Model

    options = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1}
    return Qwen3Model(Qwen3Config(vocab_size=32, num_hidden_layers=1, head_dim=8, **options, **changes))


def test_frequencies_of_positions_count_where_they_are_not_the_configurations():
    from st_mta.stores.peculiarities import peculiarities

    model = rotary()
    assert peculiarities(model) == {}
    assert peculiarities(rotary().to(torch.bfloat16)) == {}
    model.rotary_emb.inv_freq.mul_(2)
    assert list(peculiarities(model)["buffers"]) == [".rotary_emb.inv_freq"]
