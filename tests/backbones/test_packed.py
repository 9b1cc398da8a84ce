"""Packed and padded backbones agree in embeddings, scores and gradients; what cannot be packed is as before."""

from __future__ import annotations

import copy
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from threading import Event

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss

from st_mta.backbones import ability, can_pack, packed, packing, padded
from st_mta.backbones.attention import current_rows
from st_mta.backbones.calls import ROWS
from st_mta.losses import ListwiseKLLoss
from st_mta.losses.word_level.capture import capture
from tests.backbones.models import FAMILIES, PAIRS, TEXTS, bi_encoder, cross_encoder

CLASSIFIED = [family for family in FAMILIES if family not in ("mistral",)]


@pytest.fixture
def packed_calls(monkeypatch):
    """The rows of every call that was packed."""
    seen = []
    real = packing._run

    def spy(forward, inputs):
        seen.append(inputs[ROWS])
        return real(forward, inputs)

    monkeypatch.setattr(packing, "_run", spy)
    return seen


@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_agree(family, pooling, packed_calls):
    model = bi_encoder(family, pooling)
    expected = model.encode(TEXTS, show_progress_bar=False)
    assert can_pack(model)
    packed_calls.clear()
    with packed(model):
        found = model.encode(TEXTS, show_progress_bar=False)
    assert packed_calls
    assert np.abs(found - expected).max() < 1e-5
    if (family, pooling) not in (("qwen3", "cls"), ("mistral", "cls")):  # a decoder's first token knows of no other
        assert np.abs(expected[0] - expected[1]).max() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_padded_on_the_left_agree(family):
    model = bi_encoder(family)
    model.tokenizer.padding_side = "left"
    expected = model.encode(TEXTS, show_progress_bar=False)
    with packed(model):
        found = model.encode(TEXTS, show_progress_bar=False)
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("family", CLASSIFIED)
def test_scores_of_pairs_agree(family, packed_calls):
    model = cross_encoder(family)
    if family == "qwen3":
        model.tokenizer.padding_side = "left"
    expected = model.predict(PAIRS, show_progress_bar=False, activation_fn=torch.nn.Identity())
    can_pack(model)
    packed_calls.clear()
    with packed(model):
        found = model.predict(PAIRS, show_progress_bar=False, activation_fn=torch.nn.Identity())
    assert packed_calls
    assert np.abs(found - expected).max() < 1e-5 * max(1.0, np.abs(expected).max())
    assert expected.std() > 1e-3


def gradients(model, context, checkpointing=False, loss=None):
    """The loss of one batch and the gradient of every weight."""
    model = copy.deepcopy(model).train()
    if checkpointing:
        model[0].model.gradient_checkpointing_enable({"use_reentrant": False})
    loss = (loss or ListwiseKLLoss)(model)
    columns = [model.preprocess(texts) for texts in (TEXTS[:3], TEXTS[3:], [TEXTS[1], TEXTS[5], TEXTS[4]])]
    label = torch.tensor([[3.0, 1.0], [0.5, 2.0], [1.0, -1.0]])
    with packed(model) if context is packed else nullcontext():
        value = loss(columns, label)
        value.backward()
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return float(value.detach()), found


@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointing"])
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_agree(family, checkpointing, packed_calls):
    model = bi_encoder(family)
    if checkpointing and not model[0].model.supports_gradient_checkpointing:
        pytest.skip(f"transformers does not checkpoint {family}")
    expected_value, expected = gradients(model, None, checkpointing)
    can_pack(model)
    packed_calls.clear()
    value, found = gradients(model, packed, checkpointing)
    assert packed_calls
    assert value == pytest.approx(expected_value, abs=1e-6)
    assert found.keys() == expected.keys()
    whole = torch.cat([grad.flatten() for grad in expected.values()]).norm()
    for name in expected:
        assert (found[name] - expected[name]).norm() < 1e-5 * whole, name


def test_matryoshka_agrees():
    model = bi_encoder("bert")

    def nested(model):
        return MatryoshkaLoss(model, ListwiseKLLoss(model), matryoshka_dims=[32, 16])

    expected_value, expected = gradients(model, None, loss=nested)
    value, found = gradients(model, packed, loss=nested)
    assert value == pytest.approx(expected_value, abs=1e-6)
    assert all(torch.allclose(found[name], expected[name], atol=1e-5) for name in expected)


def test_layers_are_looked_into_padded():
    model = bi_encoder("bert")
    features = model.preprocess(TEXTS)
    with capture(model, hidden_states=[1, 3], attentions=[2]) as expected:
        model(dict(features))
    with packed(model), capture(model, hidden_states=[1, 3], attentions=[2]) as found:
        model(dict(features))
    assert found[0].hidden_states[3].shape == features["input_ids"].shape + (32,)
    assert torch.allclose(found[0].hidden_states[3], expected[0].hidden_states[3], atol=1e-6)
    assert torch.allclose(found[0].attentions[2].queries, expected[0].attentions[2].queries, atol=1e-6)


def test_within_padded_nothing_is_packed(packed_calls):
    model = bi_encoder("bert")
    can_pack(model)
    packed_calls.clear()
    with packed(model), padded():
        model.encode(TEXTS, show_progress_bar=False)
    assert not packed_calls


def test_afterwards_the_model_is_as_it_was():
    for family in ("bert", "mpnet"):
        model = bi_encoder(family)
        backbone = model[0].model
        before = [type(module) for module in model.modules()], backbone.config._attn_implementation
        with pytest.raises(ZeroDivisionError), packed(model):
            raise ZeroDivisionError
        assert ([type(module) for module in model.modules()], backbone.config._attn_implementation) == before
        assert "forward" not in vars(backbone)
        assert not any(module._forward_pre_hooks for module in model.modules())
        assert current_rows.get() is None


@pytest.mark.parametrize("family", ["deberta-v2", "t5"])
def test_what_cannot_be_packed_is_padded_and_logged_once(family, caplog, packed_calls, monkeypatch):
    monkeypatch.setattr(ability, "_known", {})
    monkeypatch.setattr(ability, "_logged", set())
    more = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4} if family == "t5" else {}
    model = bi_encoder(family, **more)
    expected = model.encode(TEXTS, show_progress_bar=False)
    with caplog.at_level(logging.INFO, logger="st_mta.backbones"):
        for _ in range(2):
            packed_calls.clear()
            with packed(model):
                found = model.encode(TEXTS, show_progress_bar=False)
            assert not packed_calls
    assert np.array_equal(found, expected)
    assert not can_pack(model)
    assert sum("computes with padding" in record.message for record in caplog.records) == 1


def test_a_chosen_attention_stays(packed_calls):
    model = bi_encoder("bert")
    model[0].model.set_attn_implementation("eager")
    with packed(model):
        assert model[0].model.config._attn_implementation == "eager"
        model.encode(TEXTS, show_progress_bar=False)
    assert not packed_calls and not can_pack(model)


def test_a_device_where_padding_costs_less_is_left_alone(monkeypatch):
    monkeypatch.setattr(ability, "DEVICES", ())
    assert not can_pack(bi_encoder("bert"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_leak_between_rows_is_found_in_any_precision(dtype, monkeypatch):
    monkeypatch.setattr(ability, "_known", {})
    model = bi_encoder("bert").to(dtype)
    real = packing.packed_call

    def leaking(backbone, given, named):
        inputs = real(backbone, given, named)
        one = inputs[ROWS]
        tokens = len(one.places)
        inputs[ROWS] = type(one)(one.places, ((tokens, 1),), one.shape)
        return inputs

    monkeypatch.setattr(packing, "packed_call", leaking)
    monkeypatch.setattr(ability, "_close", lambda *_: True)  # a leak may be small beside rounding
    assert not can_pack(model)


def test_in_bf16_packed_is_as_close_to_fp32_as_padded():
    model = bi_encoder("bert")
    exact = model.encode(TEXTS, show_progress_bar=False)
    model = model.bfloat16()
    padded_error = np.abs(model.encode(TEXTS, show_progress_bar=False) - exact).max()
    with packed(model):
        assert np.abs(model.encode(TEXTS, show_progress_bar=False) - exact).max() < 2 * padded_error


def test_a_call_about_more_than_tokens_stays_padded(packed_calls):
    model = bi_encoder("bert")
    can_pack(model)
    packed_calls.clear()
    features = model.preprocess(TEXTS)
    ids, mask = features["input_ids"], features["attention_mask"]
    backbone = model[0].model
    with packed(model):
        states = backbone.forward(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        backbone.forward(inputs_embeds=backbone.get_input_embeddings()(ids), attention_mask=mask)
        backbone.forward(input_ids=ids)
        assert not packed_calls
        backbone.forward(ids, mask)
        assert packed_calls
    assert states[0].shape == (*ids.shape, 32)


@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_within_packed_a_model_can_still_be_packed(family, packed_calls):
    model = bi_encoder(family)
    with packed(model):
        assert can_pack(model)
        with packed(model):
            packed_calls.clear()
            model.encode(TEXTS, show_progress_bar=False)
            assert len(packed_calls) == 1
        packed_calls.clear()
        model.encode(TEXTS, show_progress_bar=False)
        assert packed_calls


@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_threads_pack_the_same_model_at_once(family):
    model = bi_encoder(family).eval()
    batches = [TEXTS[start:] + ["star light"] * start for start in range(4)]
    expected = [model.encode(batch, show_progress_bar=False) for batch in batches]

    def work(batch):
        found = []
        for _ in range(5):
            with packed(model):
                found.append(model.encode(batch, show_progress_bar=False))
        return found

    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(work, batches), expected):
            assert all(np.abs(one - wanted).max() < 1e-5 for one in found)
    assert "forward" not in vars(model[0].model)
    assert model[0].model.config._attn_implementation in ("sdpa", "eager")


def test_a_window_longer_than_short_rows_is_tried(monkeypatch):
    monkeypatch.setattr(ability, "_known", {})
    model = bi_encoder("mistral", sliding_window=20)
    probes = []
    real = ability._probe
    monkeypatch.setattr(ability, "_probe", lambda model: probes.append(real(model)) or probes[-1])
    assert can_pack(model)
    assert probes[0][1].sum(dim=1).max() > 20


def test_trying_leaves_the_mode_of_every_layer(monkeypatch):
    monkeypatch.setattr(ability, "_known", {})
    model = bi_encoder("bert").train()
    model[0].model.encoder.layer[0].eval()
    before = [module.training for module in model.modules()]
    assert can_pack(model)
    assert [module.training for module in model.modules()] == before


def test_what_cannot_be_tried_is_padded(monkeypatch):
    monkeypatch.setattr(ability, "_known", {})
    model = bi_encoder("bert")
    monkeypatch.setattr(ability, "_probe", lambda model: model.no_such_thing)
    with packed(model):
        assert len(model.encode(TEXTS, show_progress_bar=False)) == len(TEXTS)
    assert not can_pack(model)


def test_a_mask_with_a_hole_stays_padded(packed_calls):
    model = bi_encoder("qwen3")
    can_pack(model)
    packed_calls.clear()
    features = model.preprocess(TEXTS)
    features["attention_mask"][1, 2] = 0
    expected = model(dict(features))["sentence_embedding"]
    with packed(model):
        assert torch.equal(model(dict(features))["sentence_embedding"], expected)
    assert not packed_calls


def test_a_copy_made_within_computes_with_its_own_weights():
    model = bi_encoder("bert")
    with packed(model):
        copied = copy.deepcopy(model)
    with torch.no_grad():
        for weight in copied.parameters():
            weight.mul_(0.5)
    expected = bi_encoder("bert")
    expected.load_state_dict(copied.state_dict())
    for context in (nullcontext(), packed(copied)):
        with context:
            found = copied.encode(TEXTS, show_progress_bar=False)
        assert np.abs(found - expected.encode(TEXTS, show_progress_bar=False)).max() < 1e-5


@pytest.mark.parametrize("family", ["bert", "modernbert", "mpnet"])
def test_others_may_encode_while_a_thread_enters_and_leaves(family):
    model = bi_encoder(family).eval()
    expected = model.encode(TEXTS, show_progress_bar=False)
    done = Event()

    def enter_and_leave():
        while not done.is_set():
            with packed(model):
                time.sleep(1e-4)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(enter_and_leave)
        try:
            for _ in range(40):
                assert np.abs(model.encode(TEXTS, show_progress_bar=False) - expected).max() < 1e-5
        finally:
            done.set()


def test_a_module_that_may_read_padding_keeps_it(packed_calls):
    class Own(torch.nn.Module):
        def forward(self, features):
            return features

    model = bi_encoder("bert")
    assert can_pack(model)
    model.append(Own())
    assert not can_pack(model)


def test_another_model_inside_a_packed_one_is_its_own_affair():
    outer, inner = bi_encoder("bert"), bi_encoder("modernbert")
    expected = inner.encode(TEXTS, show_progress_bar=False)
    seen = []

    def look(*_):
        with padded():
            seen.append(inner.encode(TEXTS, show_progress_bar=False))

    with packed(outer), packed(inner):
        outer[0].model.encoder.register_forward_pre_hook(look)
        outer.encode(TEXTS, show_progress_bar=False)
    assert np.abs(seen[0] - expected).max() < 1e-5


def test_a_backbone_with_hooks_of_a_user_stays_padded(packed_calls):
    hooked, plain = bi_encoder("bert"), bi_encoder("bert")
    assert can_pack(plain)

    def first_token_away(module, given, output):
        output[:, 0] = 0
        return output

    hooked[0].model.encoder.layer[1].register_forward_hook(first_token_away)
    expected = hooked.encode(TEXTS, show_progress_bar=False)
    packed_calls.clear()
    with packed(hooked):
        assert np.array_equal(hooked.encode(TEXTS, show_progress_bar=False), expected)
    assert not packed_calls


@pytest.mark.parametrize("family", ["modernbert", "mpnet", "qwen3"])
def test_a_call_keeps_what_it_needs_when_another_thread_leaves_meanwhile(family, monkeypatch):
    model = bi_encoder(family).eval()
    expected = model.encode(TEXTS, show_progress_bar=False)
    assert can_pack(model)
    block, real = ExitStack(), packing._run
    block.enter_context(packed(model))

    def left_meanwhile(forward, inputs):
        block.close()
        return real(forward, inputs)

    monkeypatch.setattr(packing, "_run", left_meanwhile)
    assert np.abs(model.encode(TEXTS, show_progress_bar=False) - expected).max() < 1e-5
    assert model[0].model.config._attn_implementation in ("sdpa", "eager")
