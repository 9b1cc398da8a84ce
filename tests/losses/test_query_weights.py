"""Weights of queries: by the teacher's confidence, by the student's error, by a function; of mean 1."""

from __future__ import annotations

import math

import pytest
import torch

from st_mta.distributions import masked_log_softmax
from st_mta.errors import InputError
from st_mta.losses import QUERY_WEIGHTS, ListwiseKLLoss, query_weights
from st_mta.losses.query_weights import weigh_queries
from tests import reference
from tests.losses.conftest import flat_batch

OWN = "tests.losses.test_query_weights"


def best(student_logits, target_log_probs, mask, positive):
    return target_log_probs.max(-1).values.exp()


def whole_batch(student_logits, target_log_probs, mask, positive):
    return torch.ones(())


def negative(student_logits, target_log_probs, mask, positive):
    return -torch.ones(len(mask))


@pytest.fixture
def lists():
    """Student, target, mask, positive; the last list has one candidate."""
    generator = torch.Generator().manual_seed(0)
    student, scores = (3 * torch.randn(5, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    mask, positive = torch.rand(5, 6, generator=generator) > 0.3, torch.rand(5, 6, generator=generator) > 0.7
    mask[-1] = torch.arange(6) == 2
    return student.masked_fill(~mask, torch.nan), masked_log_softmax(scores, mask), mask, positive


def by_loops(word, student, target, mask, positive):
    p = [math.exp(t) for t in target]
    if word == "confidence":
        return 1 - reference.entropy(p) / math.log(max(2, sum(mask)))
    q = reference.softmax(student, mask)
    return 1 - sum(q[i] for i in reference.first_ones(target, mask, positive))


@pytest.mark.parametrize("word", ["confidence", "error"])
def test_words_equal_the_reference_with_mean_one_over_the_lists_that_count(word, lists):
    weights = weigh_queries(QUERY_WEIGHTS[word], *lists, training=True)
    counts = [sum(row) >= 2 for row in lists[2].tolist()]
    values = [by_loops(word, *(one[row].tolist() for one in lists)) for row in range(5)]
    assert weights.tolist() == pytest.approx(reference.query_weights(values, counts))
    assert weights.sum() == pytest.approx(sum(counts)) and counts == [True] * 4 + [False]


def test_by_hand():
    """Teachers (1/2, 1/2) and (1, 0): confidences 0 and 1, so that the second query has both weights."""
    target = torch.tensor([[0.5, 0.5], [1.0, 0.0]]).log()
    mask, positive = target < 9, torch.tensor([[True, False]] * 2)
    student = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])  # errors 1/4 and 1/2
    lists = student, target, mask, positive
    assert weigh_queries(QUERY_WEIGHTS["confidence"], *lists, training=True).tolist() == [0, 2]
    weights = weigh_queries(QUERY_WEIGHTS["error"], *lists, training=True)
    assert weights.tolist() == pytest.approx([2 / 3, 4 / 3])


def test_where_all_weigh_nothing_all_weigh_the_same():
    sure = torch.tensor([[0.0, -torch.inf]] * 3)
    lists = sure.clamp(min=-200), sure, sure < 9, torch.tensor([[True, False]] * 3)
    assert weigh_queries(QUERY_WEIGHTS["error"], *lists, training=True).tolist() == [1, 1, 1]


def test_several_processes_share_the_mean(lists, monkeypatch):
    """The other process has three lists with weights of 6 in all."""
    alone = QUERY_WEIGHTS["confidence"](*lists)[:4]
    monkeypatch.setattr(query_weights, "summed", lambda found: found + torch.tensor([6.0, 3.0]))
    weights = weigh_queries(QUERY_WEIGHTS["confidence"], *lists, training=True)
    torch.testing.assert_close(weights[:4], alone * 7 / (alone.sum() + 6))
    here = weigh_queries(QUERY_WEIGHTS["confidence"], *lists, training=False)
    assert here.sum() == pytest.approx(4)


@pytest.mark.parametrize("word", ["confidence", "error", f"{OWN}:best"])
def test_the_loss_is_the_weighted_mean_and_weights_get_no_gradient(student, word):
    flat = flat_batch(0, scorers=2)
    options = {"scale": 2.0, "contrastive_weight": 0.3}
    loss = ListwiseKLLoss(student, query_weights=word, **options)
    plain = ListwiseKLLoss(student, **options)
    terms, before = (one._components(flat.embeddings, flat.label) for one in (loss, plain))
    assert terms["contrastive"] == before["contrastive"]
    assert terms["kl_teacher"] != before["kl_teacher"] and terms["kl_assistant"] != before["kl_assistant"]
    assert loss.get_config_dict()["query_weights"] == word and "query_weights" not in plain.get_config_dict()
    assert "query_weights" not in vars(plain)


def test_equal_weights_are_none(student):
    flat = flat_batch(0)
    uniform, equal = (
        ListwiseKLLoss(student, query_weights=one).compute_loss_from_embeddings(flat.embeddings, flat.label)
        for one in ("uniform", lambda s, t, mask, p: torch.full((len(mask),), 0.2))
    )
    torch.testing.assert_close(uniform, equal)


@pytest.mark.parametrize(
    ("weigh", "said"),
    [
        (whole_batch, r"'whole_batch' to return one weight per query, \(5,\), got \(\)"),
        (negative, "'negative' to return weights of at least 0, got -1.0 as the least"),
        (lambda mask: None, "to be a function of"),
        (lambda *lists: 0.5, "got 0.5, which is no tensor"),
    ],
)
def test_weights_that_are_none_are_refused(student, weigh, said):
    flat = flat_batch(0)
    with pytest.raises(InputError, match=said):
        ListwiseKLLoss(student, query_weights=weigh).compute_loss_from_embeddings(flat.embeddings, flat.label)
