"""Attention and hidden states of every family of backbones: the model's own numbers, or a refusal that says why."""

from __future__ import annotations

import pytest
import torch

from st_mta.errors import InputError
from st_mta.losses import AttentionMSELoss, HiddenStateMSELoss
from st_mta.losses.word_level import shown
from st_mta.losses.word_level.capture import capture
from st_mta.losses.word_level.recorded import Attention, Probabilities
from st_mta.stores import Store
from tests.losses.word_level.families import ALL, BY_PROBABILITIES, BY_QUERIES, REFUSED, backbone, cross_encoder
from tests.losses.word_level.families import bi_encoder as family_bi_encoder
from tests.losses.word_level.test_word_level import columns
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer

LAYERS = (1, 2, 3)
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")


class Around(torch.nn.Module):
    """What capture looks for, around a bare backbone."""

    def __init__(self, inner):
        super().__init__()
        self.transformers_model = inner


def tokens():
    ids = torch.randint(5, 90, (2, 8), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, 8, dtype=torch.long)
    mask[1, 5:] = 0
    return {"input_ids": torch.where(mask.bool(), ids, 0), "attention_mask": mask}


def own_word(model, given):
    """What the model says of itself, computed by its plain kernel."""
    kernel = model.config._attn_implementation
    model.set_attn_implementation("eager")
    output = model(**given, output_attentions=True, output_hidden_states=True)
    model.set_attn_implementation(kernel)
    return output


def record(model, given, **wanted):
    with capture(Around(model), **wanted) as calls:
        model.forward(**given)
    return calls[0]


def of_tokens(table, mask):
    """(R, H, L, L) -> rows of tokens, not of padding."""
    return table.transpose(1, 2)[mask.bool()]


@pytest.mark.parametrize("family", [*BY_QUERIES, *BY_PROBABILITIES])
def test_attention_is_the_models_own(family):
    model, given = backbone(family), tokens()
    with torch.no_grad():
        expected = own_word(model, given).attentions
        found = record(model, given, attentions=LAYERS).attentions
    kind = Attention if family in BY_QUERIES else Probabilities
    for layer in LAYERS:
        assert isinstance(found[layer], kind)
        ours = of_tokens(found[layer].logits().softmax(dim=-1), given["attention_mask"])
        torch.testing.assert_close(ours, of_tokens(expected[layer - 1], given["attention_mask"]), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", [family for family in ALL if family != "funnel"])
def test_hidden_states_are_the_models_own(family):
    model, given = backbone(family), tokens()
    there = given["attention_mask"].bool()
    with torch.no_grad():
        expected = own_word(model, given).hidden_states
        found = record(model, given, hidden_states=(0, *LAYERS)).hidden_states
    for layer, states in found.items():
        torch.testing.assert_close(states[there], expected[layer][there], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("family", REFUSED)
def test_attention_of_another_kind_is_refused_with_the_reason(family):
    with torch.no_grad(), pytest.raises(InputError, match=REFUSED[family][1]):
        record(backbone(family), tokens(), attentions=LAYERS)


def test_states_of_pooled_tokens_are_refused():
    with torch.no_grad(), pytest.raises(InputError, match="other tokens than meant"):
        record(backbone("funnel"), tokens(), hidden_states=(3,))


def test_a_whole_encoder_and_decoder_is_refused():
    from transformers import T5ForConditionalGeneration

    from tests.losses.word_level.families import config

    model = T5ForConditionalGeneration(config("t5", decoder_start_token_id=0)).eval()
    given = tokens() | {"decoder_input_ids": torch.zeros(2, 1, dtype=torch.long)}
    with torch.no_grad(), pytest.raises(InputError, match="the encoder alone"):
        record(model, given, hidden_states=(3,))


@pytest.mark.parametrize(
    ("family", "checkpointing"),
    [("deberta-v2", False), ("deberta-v2", True), ("mpnet", False), ("roformer", False), ("roformer", True)],
)
def test_in_training_attention_is_that_before_dropout_and_has_a_gradient(family, checkpointing):
    model, given = backbone(family), tokens()
    if checkpointing:
        model.gradient_checkpointing_enable()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    found, gradients = [], []
    for rate in (0.0, 0.9):
        model.train()
        last = [m for name, m in model.named_modules() if name.endswith(".dropout") and ".2." in name]
        assert last
        for module in last:
            module.p = rate
        recorded = record(model, given, attentions=LAYERS).attentions[3].logits()
        model.zero_grad()
        of_tokens(recorded.softmax(dim=-1), given["attention_mask"])[..., 0].sum().backward()
        found.append(of_tokens(recorded, given["attention_mask"]).detach())
        gradients.append([weight.grad for weight in model.parameters() if weight.grad is not None])
    torch.testing.assert_close(found[0], found[1])
    assert len(gradients[0]) > 10 and all(gradient.isfinite().all() for gradient in gradients[0])


def test_dropout_that_cannot_be_seen_past_is_refused_in_training():
    model = backbone("xlm", attention_dropout=0.5).train()
    with pytest.raises(InputError, match="set its attention dropout to 0"):
        record(model, tokens(), attentions=LAYERS)
    record(backbone("xlm", attention_dropout=0.0).train(), tokens(), attentions=LAYERS)


def test_values_are_looked_at_once(monkeypatch):
    model, looks = backbone("mpnet"), []
    check = shown._check_sums
    monkeypatch.setattr(shown, "_check_sums", lambda *given: (looks.append(given[0]), check(*given)))
    with torch.no_grad():
        for _ in range(3):
            record(model, tokens(), attentions=(1, 3))
    assert looks == [model, model]


def test_a_logarithm_of_nothing_has_no_gradient():
    probabilities = torch.tensor([[[[0.25, 0.75, 0.0]]]], requires_grad=True)
    logits = Probabilities(probabilities).logits()
    torch.testing.assert_close(logits[0, 0, 0, 1] - logits[0, 0, 0, 0], torch.tensor(3.0).log())
    logits.sum().backward()
    torch.testing.assert_close(probabilities.grad[0, 0, 0], torch.tensor([4.0, 4 / 3, 0.0]))


@pytest.mark.parametrize("variant", ["interaction", "self"])
@pytest.mark.parametrize("family", ["deberta-v2", "electra"])
def test_a_cross_encoder_of_the_family_teaches_attention(student, tmp_path, family, variant):
    teacher = cross_encoder(family)
    live = AttentionMSELoss(student, teacher=teacher, variant=variant, layers="uniform")
    value = live(columns(student))
    value.backward()
    assert value > 0 and any(weight.grad is not None for weight in student.parameters())
    for _ in range(2):  # computed and stored, and read
        stored = AttentionMSELoss(
            student, teacher=teacher, variant=variant, layers="uniform", store=Store(tmp_path / "store")
        )
        torch.testing.assert_close(stored(columns(student)).detach(), value.detach(), rtol=1e-4, atol=1e-7)


def test_a_student_that_shows_probabilities_alone_learns_its_attention():
    teacher, pupil = tiny_cross_encoder(seed=3), family_bi_encoder("deberta-v2")
    loss = AttentionMSELoss(pupil, teacher=teacher, variant="self", distance="kl")
    optimizer = torch.optim.Adam(pupil.parameters(), lr=3e-3)
    values = []
    for _ in range(12):
        optimizer.zero_grad()
        value = loss(columns(pupil))
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.6 * values[0]


def test_a_t5_encoder_teaches_hidden_states():
    teacher, pupil = family_bi_encoder("t5"), tiny_sentence_transformer(seed=1)
    assert HiddenStateMSELoss(pupil, teacher=teacher)(columns(pupil)) > 0


def test_relations_need_queries_keys_and_values(student):
    with pytest.raises(InputError, match="DebertaV2ForSequenceClassification, which shows its attention alone"):
        AttentionMSELoss(student, teacher=cross_encoder("deberta-v2"), variant="relation")
