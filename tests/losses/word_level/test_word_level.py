"""Word-level losses equal their formulas, computed text by text without padding from what the eager kernel returns."""

from __future__ import annotations

import json
import logging
import math

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss

from st_mta.errors import InputError
from st_mta.losses import AttentionMSELoss, HiddenStateMSELoss
from st_mta.losses.word_level.alignment import Alignment
from st_mta.losses.word_level.attention import (
    aligned_attention,
    attention_distance,
    interaction_logits,
    relation_logits,
)
from st_mta.losses.word_level.hidden_state_mse import state_distance
from st_mta.losses.word_level.recorded import Attention
from tests import reference
from tests.losses.word_level.bpe import bpe_cross_encoder
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer

QUERIES = ["what eats a fish", "why is the sea blue in the sun", "cat"]
PASSAGES = [
    ["the bird eats a fish", "the cat drinks milk, water and bread"],
    ["light", "a red car on the road"],
    ["a dog sleeps in the house", "the wind"],
]
PAIRS = [(q, d) for q, row in enumerate(PASSAGES) for d in row]


@pytest.fixture(scope="module")
def teacher():
    return tiny_cross_encoder(seed=3, layers=3, dim=48)


@pytest.fixture(scope="module")
def equal_teacher():
    return tiny_cross_encoder(seed=4)


def columns(model):
    return [model.preprocess(list(column)) for column in (QUERIES, *zip(*PASSAGES))]


def flat(model):
    """The same batch in the flat form, its candidates turned round."""
    texts = [text for row in PASSAGES for text in row]
    index = torch.tensor([[1, 0], [3, 2], [5, 4]])
    label = {"scores": torch.zeros(3, 1, 2), "index": index, "positive": torch.tensor([[False, True]] * 3)}
    return [model.preprocess(QUERIES), model.preprocess(texts[:4]), model.preprocess(texts[4:])], label


# --- the functions ------------------------------------------------------------------------------------------------


def blocks(seed, heads=2, teacher_heads=2):
    """Two pairs of 3 rows, 4 columns and 6 teacher tokens, with tokens that share nothing."""
    generator = torch.Generator().manual_seed(seed)

    def shared(tokens):
        weights = torch.randint(0, 3, (2, tokens, 6), generator=generator).double()
        weights[0, 1] = 0  # a token without a partner
        weights[..., 5] = 0
        return Alignment(weights)

    mine = 2 * torch.randn(2, heads, 3, 4, generator=generator, dtype=torch.float64)
    theirs = 2 * torch.randn(2, teacher_heads, 6, 6, generator=generator, dtype=torch.float64)
    return mine.requires_grad_(), theirs, shared(3), shared(4)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("distance", ["mse", "kl"])
def test_attention_equals_the_reference(distance, seed):
    mine, theirs, rows, seen = blocks(seed)
    target = aligned_attention(theirs, rows, seen)
    values = attention_distance(mine, target, rows.compared, seen.compared, distance)
    for p in range(2):
        r, s = rows.shared[p].tolist(), seen.shared[p].tolist()
        slow = [reference.aligned_attention(head.tolist(), r, s) for head in theirs[p]]
        torch.testing.assert_close(target[p], torch.tensor(slow, dtype=torch.float64))
        flags = rows.compared[p].tolist(), seen.compared[p].tolist()
        expected = reference.attention_distance(mine[p].tolist(), slow, *flags, distance)
        assert values[p].item() == pytest.approx(expected)


def test_compared_rows_of_the_teacher_sum_to_one():
    _, theirs, rows, seen = blocks(0)
    sums = aligned_attention(theirs, rows, seen).sum(dim=-1)
    torch.testing.assert_close(sums, rows.compared[:, None].expand(2, 2, 3).double())


def test_attention_by_hand():
    everything = torch.ones(1, 2, dtype=torch.bool)
    teacher = torch.tensor([[[[0.75, 0.25], [0.5, 0.5]]]])
    student = torch.tensor([[[[0.0, 0.0], [math.log(3), 0.0]]]])  # (1/2, 1/2) and (3/4, 1/4)
    mse = attention_distance(student, teacher, everything, everything, "mse")
    assert mse.item() == pytest.approx(1 / 16)
    kl = attention_distance(student, teacher, everything, everything, "kl")
    first = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    second = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert kl.item() == pytest.approx((first + second) / 2)


def test_the_mean_of_heads_is_taken_of_probabilities():
    mine, theirs, rows, seen = blocks(1, heads=3, teacher_heads=2)
    target = aligned_attention(theirs, rows, seen)
    flags = rows.compared, seen.compared
    mean = mine.masked_fill(~seen.compared[:, None, None], -torch.inf).softmax(-1).mean(1, keepdim=True).log()
    for distance in ("mse", "kl"):
        expected = attention_distance(mean, target.mean(1, keepdim=True), *flags, distance)
        torch.testing.assert_close(attention_distance(mine, target, *flags, distance, mean_head=True), expected)


@pytest.mark.parametrize("mean_head", [True, False])
@pytest.mark.parametrize("distance", ["mse", "kl"])
def test_gradcheck_of_attention(distance, mean_head):
    mine, theirs, rows, seen = blocks(2)
    target = aligned_attention(theirs, rows, seen)
    assert torch.autograd.gradcheck(
        lambda logits: attention_distance(logits, target, rows.compared, seen.compared, distance, mean_head=mean_head),
        [mine],
    )


@pytest.mark.parametrize("distance", ["mse", "kl"])
def test_tokens_that_are_not_compared_have_exactly_no_gradient(distance):
    mine, theirs, rows, seen = blocks(3)
    target = aligned_attention(theirs, rows, seen)
    attention_distance(mine, target, rows.compared, seen.compared, distance).sum().backward()
    outside = ~(rows.compared[:, None, :, None] & seen.compared[:, None, None]).expand_as(mine)
    assert outside.any() and (mine.grad[outside] == 0).all() and mine.grad[~outside].abs().max() > 0


def test_no_compared_token_at_all_is_zero():
    mine, theirs, rows, _ = blocks(0)
    nothing = Alignment(torch.zeros(2, 4, 6).double())
    target = aligned_attention(theirs, rows, nothing)
    for distance in ("mse", "kl"):
        value = attention_distance(mine, target, rows.compared, nothing.compared, distance)
        assert value.tolist() == [0, 0]
        assert (torch.autograd.grad(value.sum(), mine)[0] == 0).all()


def test_interaction_and_relation_logits_equal_the_reference():
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(3, 2, 5, 6, generator=generator, dtype=torch.float64)  # three of (R, H * 3, L, ...)
    queries, documents = states[0, :, :3], states[1]
    for r, logits in enumerate(interaction_logits(queries, documents)):
        expected = reference.interaction(queries[r].tolist(), documents[r].tolist())
        torch.testing.assert_close(logits[0], torch.tensor(expected, dtype=torch.float64))
    by_head = [side.unflatten(-1, (2, 3)).transpose(1, 2) for side in states]
    for heads in (1, 2, 3, 6):
        for side, logits in zip(states, relation_logits(Attention(*by_head, torch.ones(()), 1.0), heads)):
            expected = [reference.relation(row.tolist(), heads) for row in side]
            torch.testing.assert_close(logits, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("normalize", [False, True])
def test_states_equal_the_reference_and_pass_gradcheck(normalize):
    generator = torch.Generator().manual_seed(0)
    mine, theirs = (torch.randn(3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    compared = torch.tensor([[True, True, False, True], [False] * 4, [True, False, False, False]])
    mine.requires_grad_()
    values = state_distance(mine, theirs, compared, normalize=normalize)
    for p, value in enumerate(values):
        expected = reference.state_distance(mine[p].tolist(), theirs[p].tolist(), compared[p].tolist(), normalize)
        assert value.item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda states: state_distance(states, theirs, compared, normalize=normalize), mine)
    assert (torch.autograd.grad(values.sum(), mine)[0][~compared] == 0).all()


def test_states_by_hand():
    mine, theirs = torch.tensor([[[1.0, 2.0], [0.0, 9.0]]]), torch.tensor([[[1.0, 4.0], [5.0, 5.0]]])
    assert state_distance(mine, theirs, torch.tensor([[True, False]]), normalize=False).item() == 2.0
    # (1, 2) and (1, 4) both become (-1, 1), and (4, 1) its opposite.
    opposite = torch.tensor([[[4.0, 1.0], [5.0, 5.0]]])
    one = torch.tensor([[True, False]])
    assert state_distance(mine, theirs, one, normalize=True).item() == pytest.approx(0.0, abs=1e-4)
    assert state_distance(mine, opposite, one, normalize=True).item() == pytest.approx(4.0, rel=1e-3)


# --- the losses against text-by-text computation ------------------------------------------------------------------


class Inside:
    """What one model computes for one text or pair, from the host's eager kernel; special tokens are known."""

    def __init__(self, model, text):
        features = model.preprocess([text])
        self.backbone = model.transformers_model
        self.backbone.set_attn_implementation("eager")
        with torch.no_grad():
            output = self.backbone(
                **{name: features[name] for name in ("input_ids", "attention_mask", "token_type_ids")},
                output_attentions=True,
                output_hidden_states=True,
            )
        self.backbone.set_attn_implementation("sdpa")
        self.states = [layer[0] for layer in output.hidden_states]
        self.attentions = [layer[0] for layer in output.attentions]
        ends = (features["input_ids"][0] == model.tokenizer.sep_token_id).nonzero().flatten().tolist()
        self.spans = [slice(start + 1, end) for start, end in zip([0, *ends], ends)]

    def projected(self, layer, name):
        """Queries, keys or values of a layer, (L, D)."""
        encoder = getattr(self.backbone, "bert", self.backbone).encoder
        with torch.no_grad():
            return getattr(encoder.layer[layer - 1].attention.self, name)(self.states[layer - 1])


def renormalised(attention, rows, seen):
    block = attention[:, rows, seen]
    return (block / block.sum(dim=-1, keepdim=True)).tolist()


def full(count):
    return [True] * count


def distance_of(student_logits, teacher, distance):
    return reference.attention_distance(
        student_logits, teacher, full(len(teacher[0])), full(len(teacher[0][0])), distance
    )


def mean_head(heads):
    return [torch.tensor(heads).mean(dim=0).tolist()]


def log(heads):
    return torch.tensor(heads).log().tolist()


def expected_of_pair(variant, student, teacher, q, passage, pair, distance):
    mine = Inside(student, QUERIES[q]), Inside(student, passage)
    theirs = Inside(teacher, (QUERIES[q], passage))
    of_student, of_teacher = pair
    texts = [inside.spans[0] for inside in mine]
    if variant == "interaction":
        states = [inside.states[of_student][text].tolist() for inside, text in zip(mine, texts)]
        terms = []
        for looking, seen in ((0, 1), (1, 0)):
            target = renormalised(theirs.attentions[of_teacher - 1], theirs.spans[looking], theirs.spans[seen])
            logits = reference.interaction(states[looking], states[seen])
            terms.append(distance_of([logits], mean_head(target), distance))
        return sum(terms) / 2
    terms = []
    for inside, text, block in zip(mine, texts, theirs.spans):
        if variant == "self":
            target = renormalised(theirs.attentions[of_teacher - 1], block, block)
            own = renormalised(inside.attentions[of_student - 1], text, text)
            terms.append(distance_of(log(mean_head(own)), mean_head(target), distance))
            continue
        for name in ("query", "key", "value"):
            relations = reference.relation(theirs.projected(of_teacher, name)[block].tolist(), 2)
            target = [[reference.softmax(row, full(len(row))) for row in head] for head in relations]
            own = reference.relation(inside.projected(of_student, name)[text].tolist(), 2)
            terms.append(distance_of(own, target, distance))
    return sum(terms) / len(terms)


@pytest.mark.parametrize(
    ("variant", "layers", "distance"),
    [
        ("interaction", "last", "mse"),
        ("interaction", [(1, 2)], "kl"),
        ("self", "last", "kl"),
        ("self", "uniform", "mse"),
        ("relation", "uniform", "mse"),
        ("relation", "last", "kl"),
    ],
)
def test_attention_of_the_models_equals_the_reference(student, teacher, variant, layers, distance):
    options = {"variant": variant, "layers": layers, "distance": distance}
    loss = AttentionMSELoss(student, teacher=teacher, **options, num_candidates=None)
    value = loss(columns(student))
    expected = [
        expected_of_pair(variant, student.eval(), teacher, q, passage, pair, distance)
        for q, passage in PAIRS
        for pair in loss.layers
    ]
    assert value.item() == pytest.approx(sum(expected) / len(expected), rel=1e-3)
    assert loss.coverage.item() == 1


@pytest.mark.parametrize("normalize", [True, False])
def test_states_of_a_cross_encoder_equal_the_reference(student, equal_teacher, normalize):
    loss = HiddenStateMSELoss(student, teacher=equal_teacher, layers=[(1, 2)], normalize=normalize, num_candidates=2)
    expected = []
    for q, passage in PAIRS:
        theirs = Inside(equal_teacher, (QUERIES[q], passage))
        for text, block in zip((QUERIES[q], passage), theirs.spans):
            mine = Inside(student.eval(), text)
            mine = mine.states[1][mine.spans[0]].tolist()
            expected.append(
                reference.state_distance(mine, theirs.states[2][block].tolist(), full(len(mine)), normalize)
            )
    assert loss(columns(student)).item() == pytest.approx(sum(expected) / len(expected), rel=1e-3)


def test_states_of_a_bi_encoder_equal_the_reference(student):
    assistant = tiny_sentence_transformer(seed=7, dim=48)
    loss = HiddenStateMSELoss(student, teacher=assistant, projection="orthogonal")
    weight = loss.projections[0].weight.detach()
    torch.testing.assert_close(weight.T @ weight, torch.eye(32), atol=1e-5, rtol=1e-5)
    sides = []
    for texts in (QUERIES, [passage for _, passage in PAIRS]):
        terms = []
        for text in texts:
            mine, theirs = (Inside(model.eval(), text) for model in (student, assistant))
            mine, theirs = (inside.states[2][inside.spans[0]] for inside in (mine, theirs))
            terms.append(reference.state_distance((mine @ weight.T).tolist(), theirs.tolist(), full(len(mine)), True))
        sides.append(sum(terms) / len(terms))
    assert loss(columns(student)).item() == pytest.approx(sum(sides) / 2, rel=1e-3)


# --- the losses in the host ---------------------------------------------------------------------------------------

LOSSES = {
    "interaction": lambda student, teacher: AttentionMSELoss(student, teacher=teacher),
    "self": lambda student, teacher: AttentionMSELoss(student, teacher=teacher, variant="self", layers="uniform"),
    "relation": lambda student, teacher: AttentionMSELoss(student, teacher=teacher, variant="relation", distance="kl"),
    "hidden": lambda student, teacher: HiddenStateMSELoss(student, teacher=teacher),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_padding_side_and_input_form_do_not_matter(student, teacher, kind):
    torch.manual_seed(0)
    loss = LOSSES[kind](student, teacher)
    value = loss(columns(student)).item()
    assert value > 0
    assert loss(*flat(student)).item() == pytest.approx(value, rel=1e-4)
    student.tokenizer.padding_side = "left"
    # Positions are learned and count padding too: with them silenced, sides must agree.
    with torch.no_grad():
        student.transformers_model.embeddings.position_embeddings.weight.zero_()
    left = loss(columns(student)).item()
    student.tokenizer.padding_side = "right"
    assert loss(columns(student)).item() == pytest.approx(left, rel=1e-4)


@pytest.mark.parametrize("kind", LOSSES)
def test_the_teacher_is_frozen_and_no_part_of_the_loss(student, kind):
    teacher = tiny_cross_encoder(seed=3, layers=3, dim=48).train()
    loss = LOSSES[kind](student, teacher)
    assert not teacher.training
    inside = {id(parameter) for parameter in loss.parameters()}
    assert not inside & {id(parameter) for parameter in teacher.parameters()}
    assert all(module is not teacher for module in loss.modules())
    loss(columns(student)).backward()
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in teacher.parameters())
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in student.parameters())
    assert student.transformers_model.config._attn_implementation == "sdpa"
    json.dumps(loss.get_config_dict())
    assert loss.get_config_dict()["teacher"] == "CrossEncoder"
    assert loss.citation.startswith("\n@")


@pytest.mark.parametrize("kind", LOSSES)
def test_another_tokenizer_works_and_trains(student, kind):
    loss = LOSSES[kind](student, bpe_cross_encoder())
    optimizer = torch.optim.Adam(loss.parameters(), lr=3e-3)
    values = []
    for _ in range(5):
        optimizer.zero_grad()
        value = loss(columns(student))
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < values[0] and loss.coverage.item() == 1


@pytest.mark.parametrize("kind", LOSSES)
def test_bfloat16_is_finite(student, teacher, kind):
    loss = LOSSES[kind](student, teacher)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(columns(student))
    value.backward()
    assert value.dtype == torch.float32 and value.isfinite()
    assert all(p.grad.isfinite().all() for p in student.parameters() if p.grad is not None)


@pytest.mark.parametrize("other_tokenizer", [False, True])
@pytest.mark.parametrize("kind", LOSSES)
def test_one_token_and_no_token_are_no_nan(student, teacher, kind, other_tokenizer):
    loss = LOSSES[kind](student, bpe_cross_encoder() if other_tokenizer else teacher)
    value = loss([student.preprocess(texts) for texts in (["cat", "dog eats"], ["", "fish"])])
    value.backward()
    assert value.isfinite()
    assert all(p.grad.isfinite().all() for p in student.parameters() if p.grad is not None)


def test_texts_longer_than_the_teacher_are_compared_as_far_as_it_reads(student, caplog):
    short = tiny_cross_encoder(seed=3)
    short.max_seq_length = 12
    texts = [["cat dog"] * 2, ["the bird eats a fish in the old town " * 2] * 2]
    loss = AttentionMSELoss(student, teacher=short, min_coverage=0.3)
    with caplog.at_level(logging.INFO, logger="st_mta"):
        loss([student.preprocess(column) for column in texts])
    assert loss.coverage.item() == pytest.approx((2 + 7) / (2 + 18))
    assert "45.0% of the student's tokens align" in caplog.text
    with pytest.raises(InputError, match="at least 50% .* got 45.0%"):
        AttentionMSELoss(student, teacher=short)([student.preprocess(column) for column in texts])


def test_under_matryoshka_it_is_refused_with_the_way_out(student, teacher):
    loss = MatryoshkaLoss(student, AttentionMSELoss(student, teacher=teacher), [32, 8])
    with pytest.raises(InputError, match="wrap the losses over embeddings alone in MatryoshkaLoss"):
        loss(columns(student), None)


def test_arguments_that_do_not_fit_are_refused(student, teacher):
    for options, message in (
        ({"variant": "cross"}, "variant to be one of"),
        ({"distance": "cosine"}, "distance to be one of"),
        ({"layers": "first"}, "layers"),
        ({"num_candidates": 0}, "num_candidates"),
        ({"min_coverage": 2.0}, "min_coverage"),
        ({"teacher": student}, "CrossEncoder as teacher"),
    ):
        with pytest.raises(InputError, match=message):
            AttentionMSELoss(student, **{"teacher": teacher, **options})
    for options in ({"projection": "none"}, {"projection": "linear"}):
        with pytest.raises(InputError, match="for 32 dimensions of the student and 48"):
            HiddenStateMSELoss(student, teacher=teacher, **options)


def test_relations_of_a_width_that_the_students_heads_do_not_divide_are_refused(student, teacher, monkeypatch):
    monkeypatch.setattr(student.transformers_model.config, "num_attention_heads", 5)
    with pytest.raises(InputError, match="5 heads divide.* got width 48"):
        AttentionMSELoss(student, teacher=teacher, variant="relation")


def test_a_projection_is_trained_saved_and_loaded(student, teacher, tmp_path):
    loss = HiddenStateMSELoss(student, teacher=teacher, layers="uniform", projection="learned")
    assert [name for name, _ in loss.named_parameters() if not name.startswith("model.")] == [
        "projections.0.weight",
        "projections.1.weight",
    ]
    loss(columns(student)).backward()
    assert all(p.grad.abs().max() > 0 for p in loss.projections.parameters())
    loss.save_projection(tmp_path / "projection.pt")
    other = HiddenStateMSELoss(student, teacher=teacher, layers="uniform", projection="learned")
    value = loss(columns(student)).item()
    assert other(columns(student)).item() != pytest.approx(value)
    other.load_projection(tmp_path / "projection.pt")
    assert other(columns(student)).item() == pytest.approx(value)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("mean_head", [True, False])
@pytest.mark.parametrize("distance", ["mse", "kl"])
def test_no_gradient_is_nan_on_the_way_where_tokens_are_not_compared(mean_head, distance):
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    rows, columns = (torch.tensor([row, [0] * 4]) > 0 for row in ([1, 1, 0, 0], [1, 1, 1, 0]))
    with torch.autograd.detect_anomaly(check_nan=True):
        teacher = logits.detach().flip(1).softmax(-1)
        attention_distance(logits, teacher, rows, columns, distance, mean_head=mean_head).sum().backward()
    assert (logits.grad[1] == 0).all() and (logits.grad[0, ..., 3] == 0).all() and logits.grad[0].abs().max() > 0
