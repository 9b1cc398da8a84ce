"""Layer by layer: the formula of LEAD, the teacher's own scores at every layer, draws that a seed decides."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from sentence_transformers.util import cos_sim

from st_mta.backbones.layers import first_layers
from st_mta.errors import InputError
from st_mta.losses import ExitsLoss, KeepLossWeights, LayerDistillationLoss, ListwiseKLLoss
from st_mta.losses.batch import read_batch
from st_mta.losses.layers.teacher_scores import TeacherScores
from tests import reference
from tests.losses.conftest import COLUMNS, LABEL, PASSAGES, QUERIES, features_of, flat_batch, stock_trainer
from tests.losses.word_level.bpe import bpe_cross_encoder
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer, tiny_sparse_encoder


@pytest.fixture(scope="module")
def _deep():
    return tiny_sentence_transformer(seed=1, layers=3)


@pytest.fixture
def student(_deep):
    return copy.deepcopy(_deep)


@pytest.fixture(scope="module")
def cross():
    return tiny_cross_encoder(seed=3, layers=4, dim=48)


def lists(seed, layers=3, queries=5, candidates=6):
    """Logits (B, L, N) of student and teacher, masks with a list of one and one without a positive."""
    flat, generator = flat_batch(seed, width=candidates), torch.Generator().manual_seed(seed)
    sides = [torch.randn(queries, layers, candidates, generator=generator, dtype=torch.float64) for _ in range(2)]
    mask = (flat.index >= 0) & flat.scores.isfinite().all(dim=1)
    return *(3 * side for side in sides), mask, flat.positive & mask


@pytest.mark.parametrize("match", ["sampled", "closest"])
def test_it_is_the_formula(student, cross, match):
    loss = LayerDistillationLoss(student, teacher=cross, match=match, weight_temperature=2.0)
    for seed in range(4):
        student_logits, teacher_logits, mask, positive = lists(seed)
        value, places = loss.compare(student_logits, teacher_logits, mask, positive)
        given = student_logits.tolist(), teacher_logits.tolist(), mask.tolist(), positive.tolist(), 2.0
        pairs = list(enumerate(places))
        assert value.item() == pytest.approx(reference.layer_distillation(*given, pairs))
        alone = [[reference.layer_distillation(*given, [(mine, theirs)]) for theirs in range(3)] for mine in range(3)]
        assert places == ([0, 1, 2] if match == "sampled" else [row.index(min(row)) for row in alone])


def test_by_hand(student, cross):
    """A layer that gives the positive 3 of 4 beside one that gives it half; the student is even at both."""
    loss = LayerDistillationLoss(student, teacher=cross, num_layers=2)
    teacher = torch.tensor([[[math.log(3), 0.0], [0.0, 0.0]]], dtype=torch.float64)
    everything, positive = torch.ones(1, 2, dtype=torch.bool), torch.tensor([[True, False]])
    value, _ = loss.compare(torch.zeros(1, 2, 2, dtype=torch.float64), teacher, everything, positive)
    sure, even = 0.75**0.1, 0.5**0.1  # exp(-NLL / 10)
    divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert value.item() == pytest.approx(sure / (sure + even) * divergence)
    nothing, _ = loss.compare(teacher.requires_grad_(), teacher, everything, positive)
    assert nothing.item() == 0 and torch.autograd.grad(nothing, teacher)[0].abs().max() < 1e-12


def test_gradcheck_masks_and_no_positive(student, cross):
    student_logits, teacher_logits, mask, positive = lists(1)
    loss = LayerDistillationLoss(student, teacher=cross)
    logits = student_logits.requires_grad_()
    teacher_logits.requires_grad_()
    value = lambda given: loss.compare(given, teacher_logits, mask, positive)[0]  # noqa: E731
    assert torch.autograd.gradcheck(value, [logits])
    value(logits).backward()
    assert (logits.grad.transpose(1, 2)[~mask] == 0).all() and logits.grad.abs().max() > 0
    assert teacher_logits.grad is None
    same = loss.compare(logits, teacher_logits, mask, torch.zeros_like(positive))[0]
    apart = [
        reference.layer_distillation(
            student_logits.tolist(), teacher_logits.tolist(), mask.tolist(), positive.tolist(), 1.0, [(n, n)]
        )
        for n in range(3)
    ]
    assert same.item() == pytest.approx(sum(apart) / 3)


# --- the teacher's side -------------------------------------------------------------------------------------------


def bi_encoder(**more):
    return tiny_sentence_transformer(seed=5, layers=3, dim=48, **more)


@pytest.mark.parametrize(
    "make", [lambda: tiny_cross_encoder(seed=3, layers=3), lambda: bpe_cross_encoder(layers=3)], ids=["same", "other"]
)
def test_a_cross_encoders_layers_score_as_smaller_cross_encoders(student, make):
    teacher, label = make(), torch.tensor(LABEL)
    label[1, 2] = torch.nan
    batch = read_batch([student(features)["sentence_embedding"] for features in features_of(student)], label)
    found = TeacherScores(teacher, student.tokenizer)(features_of(student), batch, [1, 3])
    for place, layers in enumerate((1, 3)):
        with first_layers(teacher.transformers_model, layers):
            expected = torch.tensor(
                [teacher.predict([(query, text) for text in row], activation_fn=torch.nn.Identity()).tolist()
                 for query, row in zip(QUERIES, PASSAGES)]
            )  # fmt: skip
        torch.testing.assert_close(found[:, place][batch.mask], expected[batch.mask], atol=1e-5, rtol=1e-4)


def test_a_bi_encoders_layers_score_as_smaller_bi_encoders(student):
    teacher, label = bi_encoder(), torch.tensor(LABEL)
    batch = read_batch([student(features)["sentence_embedding"] for features in features_of(student)], label)
    found = TeacherScores(teacher, student.tokenizer)(features_of(student), batch, [2])
    with first_layers(teacher.transformers_model, 2):
        queries, *documents = (teacher.encode(column, convert_to_tensor=True) for column in COLUMNS)
    expected = torch.stack([20 * cos_sim(queries, column).diagonal() for column in documents], dim=1)
    torch.testing.assert_close(found[:, 0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "make", [lambda: tiny_cross_encoder(num_labels=3), tiny_sparse_encoder], ids=["labels", "sparse"]
)
def test_other_teachers_are_refused(student, make):
    with pytest.raises(InputError, match="a CrossEncoder with one label or a SentenceTransformer"):
        LayerDistillationLoss(student, teacher=make())


def test_the_student_is_not_its_own_teacher(student):
    with pytest.raises(InputError, match="a teacher beside the student"):
        LayerDistillationLoss(student, teacher=student)
    assert all(weight.requires_grad for weight in student.parameters())


# --- the module ---------------------------------------------------------------------------------------------------


def test_draws_are_decided_by_seed_and_step(student, cross):
    def draws(seed, steps=12, begin=0):
        loss = LayerDistillationLoss(student, teacher=cross, num_layers=2, seed=seed)
        loss.set_extra_state({"steps": begin})
        return [loss._draw() for _ in range(steps)]

    first = draws(0)
    assert draws(0, 8, begin=4) == first[4:] and draws(1) != first
    for side, last in zip(zip(*first), (3, 4)):
        assert {layer for drawn in side for layer in drawn} == {*range(1, last + 1)}
        assert all(len({*drawn}) == 2 and drawn == sorted(drawn) for drawn in side)
    loss = LayerDistillationLoss(student, teacher=cross, num_layers=1, match="closest")
    with torch.no_grad():
        assert loss._draw() == loss._draw() and loss._draw()[1] == [1, 2, 3, 4]


def test_it_is_the_loss_and_the_layers(student, cross):
    label = torch.tensor(LABEL)
    inner = ListwiseKLLoss(student, contrastive_weight=0.3)
    loss = LayerDistillationLoss(student, teacher=cross, loss=inner, layer_weight=0.5, return_components=True)
    terms = loss(features_of(student), label)
    assert list(terms) == ["kl_teacher", "contrastive", "layers"]
    assert (terms["kl_teacher"] + terms["contrastive"]).item() == pytest.approx(
        inner(features_of(student), label).item()
    )
    batch = read_batch([student(features)["sentence_embedding"] for features in features_of(student)], label)
    scores = TeacherScores(cross, student.tokenizer)(features_of(student), batch, [theirs for _, theirs in loss.drawn])
    mine = []
    for layer, _ in loss.drawn:
        with first_layers(student.transformers_model, layer):
            embeddings = [student(features)["sentence_embedding"] for features in features_of(student)]
        mine.append(loss.list_logits(read_batch(embeddings, label)))
    expected, _ = loss.compare(torch.stack(mine, dim=1), scores, batch.mask, batch.positive)
    assert terms["layers"].item() == pytest.approx(0.5 * expected.item(), rel=1e-4) and loss.steps == 1


def test_a_stock_trainer_lowers_it_and_leaves_the_teacher_alone(student, tmp_path):
    teacher = bi_encoder()
    before = copy.deepcopy(teacher.state_dict())
    loss = LayerDistillationLoss(student, teacher=teacher, return_components=True, match="closest")
    trainer = stock_trainer(student, loss, tmp_path, max_steps=4, callbacks=[KeepLossWeights(loss)], bf16=True)
    trainer.train()
    logged = [entry["layers"] for entry in trainer.state.log_history if "layers" in entry]
    assert logged[-1] < 0.9 * logged[0] and loss.steps == 4
    assert all(torch.equal(before[name], weight) for name, weight in teacher.state_dict().items())
    names = {name.split(".")[0] for name, _ in loss.named_parameters()}
    assert names == {"model"}


def test_the_model_card_can_print_it(student, cross):
    loss = LayerDistillationLoss(student, teacher=cross)
    described = json.loads(json.dumps(loss.get_config_dict()))
    assert described["teacher"] == "CrossEncoder" and described["num_layers"] == 3 and described["alpha"] == 0.5
    assert "lead" in loss.citation and "mta4dpr" in loss.citation


@pytest.mark.parametrize(
    "options",
    [{"num_layers": 4}, {"num_layers": 0}, {"match": "near"}, {"layer_weight": 0.0}, {"teacher_scale": -1.0}],
)
def test_arguments_out_of_range_are_refused(student, cross, options):
    with pytest.raises(InputError, match=next(iter(options))):
        LayerDistillationLoss(student, teacher=cross, **options)


def test_it_has_no_exits(student, cross):
    with pytest.raises(InputError, match="reads layers itself"):
        ExitsLoss(student, loss=LayerDistillationLoss(student, teacher=cross), exits=[1])
