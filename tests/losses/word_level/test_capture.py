"""The one look inside the host; these tests fail when the host moves."""

from __future__ import annotations

import copy

import pytest
import torch

from st_mta.errors import InputError
from st_mta.losses.word_level.capture import capture, num_layers
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer

TEXTS = ["the cat eats a fish", "a dog"]


@pytest.fixture(scope="module")
def teacher():
    return tiny_cross_encoder(seed=3, layers=3)


def eager_attentions(model, features):
    """What the host's eager kernel says, and restores."""
    backbone = model.transformers_model
    backbone.set_attn_implementation("eager")
    inputs = {name: features[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    output = backbone(**inputs, output_attentions=True, output_hidden_states=True)
    backbone.set_attn_implementation("sdpa")
    return output


@pytest.mark.parametrize("kind", ["bi-encoder", "cross-encoder"])
def test_records_what_the_eager_kernel_returns(student, teacher, kind):
    model, texts = (student, TEXTS) if kind == "bi-encoder" else (teacher, [("a cat", "a fish eats"), ("dog", "sea")])
    features = model.preprocess(texts)
    with capture(model, hidden_states=[0, 1, 2], attentions=[1, 2]) as calls:
        model(dict(features))
    expected = eager_attentions(model.eval(), features)
    (recorded,) = calls
    for layer in (0, 1, 2):
        torch.testing.assert_close(recorded.hidden_states[layer], expected.hidden_states[layer], atol=1e-5, rtol=1e-4)
    for layer in (1, 2):
        attention = recorded.attentions[layer].logits().softmax(dim=-1)
        torch.testing.assert_close(attention, expected.attentions[layer - 1], atol=1e-5, rtol=1e-4)
    assert num_layers(model) == len(expected.attentions)


def test_the_model_computes_the_same_and_is_as_before(student):
    backbone = student.transformers_model
    before = student.encode(TEXTS, convert_to_tensor=True)
    with capture(student, hidden_states=[2], attentions=[2]) as calls:
        assert backbone.config._attn_implementation != "sdpa"
        torch.testing.assert_close(student.encode(TEXTS, convert_to_tensor=True), before)
    assert len(calls) == 1
    assert backbone.config._attn_implementation == "sdpa" and "forward" not in vars(backbone)
    copy.deepcopy(student).encode(TEXTS)
    assert len(calls) == 1


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_the_kernel_is_restored_even_after_an_error(student, implementation):
    student.transformers_model.set_attn_implementation(implementation)
    with pytest.raises(RuntimeError, match="inside"), capture(student, attentions=[1]):
        raise RuntimeError("inside")
    assert student.transformers_model.config._attn_implementation == implementation


def test_a_forward_that_was_replaced_before_is_put_back(student):
    backbone = student.transformers_model
    mine = backbone.forward
    backbone.forward = mine
    with capture(student, hidden_states=[1]):
        pass
    assert vars(backbone)["forward"] is mine


def test_attentions_are_those_before_dropout():
    torch.manual_seed(0)
    model = tiny_sentence_transformer(seed=1)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    features = model.preprocess(TEXTS)
    found = []
    for rate in (0.0, 0.9):
        model.train()
        model.transformers_model.encoder.layer[-1].attention.self.dropout.p = rate
        with capture(model, attentions=[2]) as calls:
            model(dict(features))
        found.append(calls[0].attentions[2].logits())
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
def test_gradients_are_the_same_under_gradient_checkpointing(student):
    found = []
    for checkpointing in (False, True):
        model = copy.deepcopy(student).train()
        if checkpointing:
            model.transformers_model.gradient_checkpointing_enable()
        with capture(model, hidden_states=[1], attentions=[1, 2]) as calls:
            model(model.preprocess(TEXTS))
        attentions = (calls[0].attentions[layer].logits().softmax(dim=-1) for layer in (1, 2))
        (sum(map(torch.Tensor.norm, attentions)) + calls[0].hidden_states[1].norm()).backward()
        found.append([p.grad for p in model.parameters() if p.grad is not None])
    assert len(found[0]) == len(found[1]) > 10
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning", "ignore:None of the inputs:UserWarning")
def test_reentrant_checkpointing_would_lose_gradients_and_is_refused(student):
    student.train().transformers_model.gradient_checkpointing_enable({"use_reentrant": True})
    student.transformers_model.enable_input_require_grads()
    with pytest.raises(InputError, match="use_reentrant"), capture(student, attentions=[1]):
        student(student.preprocess(TEXTS))


def test_inside_autocast_attention_is_widened(student):
    with torch.autocast("cpu", dtype=torch.bfloat16), capture(student, hidden_states=[2], attentions=[2]) as calls:
        student(student.preprocess(TEXTS))
        logits = calls[0].attentions[2].logits()
    assert calls[0].attentions[2].queries.dtype == torch.bfloat16 and logits.dtype == torch.float32


def test_inside_a_wrapper(student):
    class Wrapper(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, features):
            return self.module(features)

    wrapped = Wrapper(student)
    with capture(wrapped, attentions=[1]) as calls:
        wrapped(student.preprocess(TEXTS))
    assert len(calls) == 1


def test_a_causal_backbone_looks_back_only():
    from transformers import LlamaConfig, LlamaModel

    sizes = {"vocab_size": 16, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
    backbone = LlamaModel(LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2)).eval()

    class Model(torch.nn.Module):
        transformers_model = backbone

    with capture(Model(), attentions=[2]) as calls:
        backbone.forward(input_ids=torch.arange(5)[None], attention_mask=torch.ones(1, 5, dtype=torch.long))
    attention = calls[0].attentions[2].logits().softmax(dim=-1)
    backbone.set_attn_implementation("eager")
    expected = backbone(input_ids=torch.arange(5)[None], output_attentions=True).attentions[1]
    torch.testing.assert_close(attention, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
def test_an_eager_model_under_checkpointing_is_refused(student):
    student.transformers_model.set_attn_implementation("eager")
    student.transformers_model.gradient_checkpointing_enable()
    with pytest.raises(InputError, match="attn_implementation='sdpa'"), capture(student, attentions=[1]):
        pass


def test_flattened_batches_are_refused(student):
    with pytest.raises(InputError, match="unpad_inputs"), capture(student, attentions=[1]):
        student.transformers_model.forward(input_ids=torch.arange(4)[None], cu_seq_lens_q=torch.tensor([0, 2, 4]))


@pytest.mark.parametrize("layers", [[3], [-1]])
def test_a_layer_that_is_not_there_is_refused(student, layers):
    with pytest.raises(InputError, match="layers from 0 to 2"), capture(student, hidden_states=layers):
        pass


def test_attention_below_the_first_layer_is_refused(student):
    with pytest.raises(InputError, match="layers from 1 to 2"), capture(student, attentions=[0]):
        student(student.preprocess(TEXTS))
