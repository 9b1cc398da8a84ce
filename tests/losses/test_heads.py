"""Heads over a shared student: each follows its scorer, and together they are one linear layer."""

from __future__ import annotations

import math

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import cos_sim, dot_score

from st_mta.assistants.targets import AssistantTargets
from st_mta.errors import InputError
from st_mta.losses import HeadsLoss, KeepLossWeights, ListwiseKLLoss, find_loss
from st_mta.losses.heads import concatenated
from st_mta.losses.loss_weights import own_state
from tests import reference
from tests.losses.conftest import LABEL, features_of, flat_batch, gradcheck, stock_trainer
from tests.tiny import tiny_sentence_transformer

TEXTS = ["a cat eats", "the wind blows over the sea"]


def spread(loss, seed=0):
    """Gives every head an offset of its own."""
    with torch.no_grad():
        loss.offsets.copy_(0.3 * torch.randn(loss.offsets.shape, generator=torch.Generator().manual_seed(seed)))
    return loss


def test_it_is_the_formula(student):
    for seed in range(3):
        flat = flat_batch(seed, scorers=3)
        inner = ListwiseKLLoss(student, similarity_fct=cos_sim, scale=1.5, teacher_temperature=2.0)
        loss = spread(HeadsLoss(student, num_heads=3, loss=inner, teacher_temperature=2.0, heads_weight=0.5), seed)
        given = [side.tolist() for side in (flat.queries, flat.documents, flat.scores, flat.index)]
        offsets = loss.offsets[:, :4, :4].tolist()
        expected = reference.heads_divergence(*given, offsets, scale=1.5, temperature=2.0)
        own = inner.compute_loss_from_embeddings(flat.embeddings, flat.label)
        value = loss.compute_loss_from_embeddings(flat.embeddings, flat.label)
        assert value.item() == pytest.approx(own.item() + 0.5 * expected, rel=1e-5)


def test_by_hand(student):
    """One dimension, two heads of 1.5 and 0.5: similarities are multiplied by 2.25 and 0.25."""
    inner = ListwiseKLLoss(student, similarity_fct=dot_score)
    loss = HeadsLoss(student, num_heads=2, loss=inner, merged_weight=0.0)
    with torch.no_grad():
        loss.offsets[0, 0, 0] = 1.0
    one = torch.ones(1, 1)
    label = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0]]])
    value = loss.compute_loss_from_embeddings([one, one, 0 * one], label)
    first, second = (1 / (1 + math.exp(-logit)) for logit in (2.25, 0.25))
    even = -0.5 * math.log(first * (1 - first)) + math.log(0.5)
    sure = 0.75 * math.log(0.75 / second) + 0.25 * math.log(0.25 / (1 - second))
    assert value.item() == pytest.approx((even + sure) / 2, rel=1e-5)


def test_gradcheck_masks_and_a_student_that_agrees(student):
    flat = flat_batch(1)
    inner = ListwiseKLLoss(student, similarity_fct=dot_score)
    loss = spread(HeadsLoss(student, num_heads=2, loss=inner).double())
    assert gradcheck(loss, flat.embeddings, flat.label)
    loss.compute_loss_from_embeddings(flat.embeddings, flat.label).backward()
    assert (flat.documents.grad[flat.masked()] == 0).all() and loss.offsets.grad.abs().max() > 0
    torch.testing.assert_close(loss.offsets.grad.sum(dim=0), torch.zeros(32, 32).double(), atol=1e-12, rtol=0)
    same = HeadsLoss(student, num_heads=1, loss=inner, merged_weight=0.0).double()
    logits = dot_score(flat.queries, flat.documents).gather(1, flat.index.clamp(min=0)).detach()
    mask = (flat.index >= 0) & flat.scores.isfinite().all(dim=1)
    label = flat.label | {"scores": torch.where(mask, logits, torch.nan)[:, None]}
    assert same.compute_loss_from_embeddings(flat.embeddings, label).item() == pytest.approx(0, abs=1e-12)


def test_the_student_is_the_average_of_its_heads_and_concatenated_they_are_one_layer(student, tmp_path):
    loss = spread(HeadsLoss(student, num_heads=3))
    plain = student.encode(TEXTS, convert_to_tensor=True)
    each = torch.stack([plain @ head.T for head in loss.heads().detach()])
    torch.testing.assert_close(each.mean(dim=0), plain, atol=1e-6, rtol=0)
    wide = concatenated(student, loss)
    wide.save_pretrained(str(tmp_path))
    again = SentenceTransformer(str(tmp_path), device="cpu")
    side_by_side = torch.cat(list(each), dim=-1)
    for model in (wide, again):
        torch.testing.assert_close(model.encode(TEXTS, convert_to_tensor=True), side_by_side, atol=1e-6, rtol=0)
    assert again.similarity_fn_name == student.similarity_fn_name
    assert (each[0] - each[1]).abs().max() > 1e-2 and len(student) == 3


def test_a_stock_trainer_parts_the_heads(student, tmp_path):
    label = [[row, row[::-1]] for row in LABEL]  # two scorers that disagree
    loss = HeadsLoss(student, num_heads=2, return_components=True)
    trainer = stock_trainer(
        student, loss, tmp_path, max_steps=3, label=label, callbacks=[KeepLossWeights(loss)], bf16=True
    )
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert {"kl_teacher", "kl_assistant", "heads"} <= logged[0].keys() and logged[-1]["heads"] < logged[0]["heads"]
    assert own_state(loss).keys() == {"offsets"} and (loss.offsets[0] - loss.offsets[1]).abs().max() > 1e-3


def test_the_word_gives_every_scorer_of_the_run_its_head(student):
    targets = AssistantTargets(["a", "b"], [2.0, 3.0, 0.5])
    loss = find_loss("heads")(student, targets, alpha=0.3, scale=2.0, return_components=True)
    assert len(loss.offsets) == 3 and loss.alpha == 0.3 and loss.return_components
    scores, mask = torch.tensor([[[2.0, 0.0], [3.0, 0.0], [0.5, 0.0]]]), torch.ones(1, 2, dtype=torch.bool)
    torch.testing.assert_close(targets.each(scores, mask), torch.tensor([1.0, 0.0]).log_softmax(-1).expand(1, 3, 2))
    assert not targets.frequencies()
    loss.alpha = 0.9
    assert loss.loss.alpha == 0.9


def test_what_does_not_fit_is_refused(student):
    with pytest.raises(InputError, match="the scores of 3 scorers, one for each head, got 1"):
        HeadsLoss(student, num_heads=3)(features_of(student), torch.tensor(LABEL))
    with pytest.raises(InputError, match="around the same student"):
        HeadsLoss(student, num_heads=2, loss=ListwiseKLLoss(tiny_sentence_transformer(5)))
    for options in ({"num_heads": 0}, {"heads_weight": 0.0}, {"merged_weight": -1.0}, {"teacher_temperature": 0.0}):
        with pytest.raises(InputError, match=next(iter(options))):
            HeadsLoss(student, **{"num_heads": 2} | options)
