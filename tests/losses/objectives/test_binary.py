"""Binary cross-entropy: how scores are read, what counts as zero, what is learned, saved and settled first."""

from __future__ import annotations

import math

import pytest
import torch

from st_mta.errors import InputError
from st_mta.losses import ListwiseKLLoss, MultiLevelDistillationLoss
from st_mta.losses.loss_weights import own_state
from st_mta.losses.objectives import binary
from st_mta.losses.objectives.binary import BinaryCrossEntropy
from tests import reference
from tests.losses.conftest import flat_batch

SIGMOID = {"scale": 1.5, "bias": -0.25}


@pytest.fixture
def flat():
    return flat_batch(0)


def loss_of(student, **options):
    return ListwiseKLLoss(student, scale=2.0, objective="bce", objective_options=SIGMOID | options)


def by_loops(flat, *, in_batch=True, read=lambda score: 1 / (1 + math.exp(-score))):
    """The mean over lists of at least two valid candidates, with cosines of the scale 2."""
    rows = [one.tolist() for one in (flat.queries, flat.index, flat.scores)]
    documents = flat.documents.tolist()
    masks = [
        [i >= 0 and all(math.isfinite(scorer[n]) for scorer in scores) for n, i in enumerate(row)]
        for row, scores in zip(rows[1], rows[2])
    ]
    pool = {i for row, mask in zip(rows[1], masks) for i, inside in zip(row, mask) if inside}
    values = []
    for query, row, scores, mask in zip(*rows, masks):
        if sum(mask) < 2:
            continue
        logits = [2.0 * reference.cosine(query, document) for document in documents]
        wanted = [read(score) if inside else None for score, inside in zip(scores[0], mask)]
        beyond = [logits[i] for i in pool - set(row)] if in_batch else []
        own = [logits[i] for i in row]
        values.append(reference.binary_cross_entropy(own, wanted, mask, beyond, **SIGMOID))
    return sum(values) / len(values)


@pytest.mark.parametrize("in_batch", [True, False])
def test_the_batchs_other_documents_are_zeros_of_the_teacher_alone(student, flat, in_batch):
    loss = loss_of(student, in_batch=in_batch)
    terms = loss._components(flat.embeddings, flat.label)
    assert list(terms) == ["bce_teacher"] and loss.alpha == 1  # assistants have no weight in it
    assert terms["bce_teacher"].item() == pytest.approx(by_loops(flat, in_batch=in_batch), rel=1e-6)


def test_scores_that_are_probabilities_stay_as_they_are(student, flat):
    flat.scores = flat.scores.sigmoid()
    expected = by_loops(flat, read=lambda score: score)
    loss = loss_of(student)
    assert loss.compute_loss_from_embeddings(flat.embeddings, flat.label).item() == pytest.approx(expected, rel=1e-6)
    assert loss.get_config_dict()["learned_objective"]["labels"] == "probabilities"
    flat.scores = flat.scores + 0.5  # of a later batch, which changes nothing
    beyond = by_loops(flat, read=lambda score: min(1.0, score))
    assert loss.compute_loss_from_embeddings(flat.embeddings, flat.label).item() == pytest.approx(beyond, rel=1e-6)


def test_probabilities_that_are_none_are_refused(student, flat):
    with pytest.raises(InputError, match=r"scores in \[0, 1\].*labels='logits'"):
        loss_of(student, labels="probabilities").compute_loss_from_embeddings(flat.embeddings, flat.label)


def test_without_gradients_nothing_is_settled(student, flat):
    loss = ListwiseKLLoss(student, objective="bce")
    with torch.no_grad():
        loss.compute_loss_from_embeddings(flat.embeddings, flat.label)
    assert loss.get_config_dict()["learned_objective"] == {"scale": 1.0, "bias": 0.0, "labels": "auto"}


def test_the_bias_begins_where_the_batch_is_mostly_irrelevant():
    """Two lists of two candidates and three zeros each, all logits 4: -log(5 - 1) - 4."""
    objective, ones = BinaryCrossEntropy(), torch.ones(2, 2, dtype=torch.bool)
    others = torch.full((2, 4), 4.0), torch.tensor([[True, True, True, False]] * 2)
    objective(torch.full((2, 2), 4.0), torch.zeros(2, 2), ones, scores=torch.full((2, 2), 9.0), others=others)
    assert objective.bias.item() == pytest.approx(-math.log(4) - 4)
    before = objective.bias.item()
    objective(torch.zeros(2, 2), torch.zeros(2, 2), ones, scores=torch.zeros(2, 2))
    assert (objective.bias.item(), objective.labels) == (before, "logits")


def test_all_processes_begin_alike(monkeypatch):
    """The other one has scores beyond 1, two lists of five documents each, and logits of 13 in all."""
    shared = []
    monkeypatch.setattr(binary, "summed", lambda found: found + torch.tensor([1.0, 13.0, 10.0, 2.0]))
    monkeypatch.setattr(binary, "share_weights", shared.append)
    objective, mask = BinaryCrossEntropy(), torch.ones(1, 2, dtype=torch.bool)
    for _ in range(2):
        objective(torch.tensor([[2.0, 3.0]]), torch.zeros(1, 2), mask, scores=torch.tensor([[0.5, 0.7]]))
    assert objective.labels == "logits" and shared == [objective]
    assert objective.bias.item() == pytest.approx(-math.log(12 / 3 - 1) - 18 / 12)


def test_targets_of_ones_own_leave_the_teacher_alone_too(student, flat):
    def targets(scores, mask):
        return torch.zeros_like(scores).log_softmax(-1)

    loss = ListwiseKLLoss(student, targets=targets, scale=2.0, objective="bce", objective_options=SIGMOID)
    terms = loss._components(flat.embeddings, flat.label)
    assert list(terms) == ["bce_teacher"] and terms["bce_teacher"].item() == pytest.approx(by_loops(flat), rel=1e-6)


def test_by_hand():
    """A logit of 0 of which the teacher is half sure, and a zero with log 3: (log 2 + log 4) / 2."""
    objective = BinaryCrossEntropy(bias=0.0, labels="logits")
    others = torch.tensor([[math.log(3), torch.nan]]), torch.tensor([[True, False]])
    one, mask = torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool)
    value = objective(one, one, mask, scores=one, others=others)
    assert value.tolist() == [pytest.approx(1.5 * math.log(2))]


def test_at_the_teachers_logits_there_is_no_gradient():
    objective = BinaryCrossEntropy(scale=2.0, bias=-1.0, labels="logits")
    logits = torch.randn(3, 4, requires_grad=True)
    mask = torch.ones(3, 4, dtype=torch.bool)
    objective(logits, logits, mask, scores=(2 * logits - 1).detach()).sum().backward()
    for gradient in (logits.grad, objective.bias.grad, objective.log_scale.grad):
        assert gradient.abs().max() < 1e-6


def test_it_is_a_sentence_level_too(student, flat):
    sentence = loss_of(student)
    loss = MultiLevelDistillationLoss(student, sentence=sentence, contrastive_weight=0.0)
    value = loss.compute_loss_from_embeddings(flat.embeddings, flat.label)
    assert value.item() == pytest.approx(by_loops(flat), rel=1e-6)
    learned = {f"sentence.learned_objective.{one}" for one in ("log_scale", "bias", "_extra_state")}
    assert own_state(loss).keys() == learned
