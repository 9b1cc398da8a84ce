"""Task-aware filters: fitted first, by a task of their own; then the teacher's is held and states are compared."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from sentence_transformers.util import cos_sim, dot_score

from st_mta.errors import InputError
from st_mta.losses import HiddenStateMSELoss, KeepLossWeights
from st_mta.losses.loss_weights import own_state
from st_mta.losses.word_level.alignment import Alignment
from st_mta.losses.word_level.hidden_state_mse import state_distance
from st_mta.losses.word_level.student_pass import run_student
from st_mta.losses.word_level.task_filters import pooled_states, task_loss
from tests import reference
from tests.losses.conftest import LABEL, features_of, flat_batch, stock_trainer
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer


@pytest.fixture(scope="module")
def teacher():
    return tiny_sentence_transformer(seed=3, layers=3, dim=48)


def filtered(student, teacher, **options):
    torch.manual_seed(0)
    return HiddenStateMSELoss(student, teacher=teacher, projection="filters", **{"filter_steps": 2} | options)


def test_the_task_is_the_reference():
    for seed in range(4):
        flat = flat_batch(seed)
        mask = (flat.index >= 0) & flat.scores.isfinite().all(dim=1)
        sides = [flat.queries.tolist(), flat.documents.tolist(), flat.index.clamp(min=0).tolist()]
        expected = reference.filter_loss(*sides, mask.tolist(), flat.positive.tolist(), 3.0)
        value = task_loss([flat.queries, flat.documents], flat.label, cos_sim, 3.0)
        assert value.item() == pytest.approx(expected)
    given = flat.label
    loss = lambda *sides: task_loss(sides, given, cos_sim, 3.0)  # noqa: E731
    assert torch.autograd.gradcheck(loss, [flat.queries, flat.documents])


def test_the_task_by_hand():
    queries, documents = torch.tensor([[1.0]]), torch.tensor([[math.log(3)], [0.0]])
    value = task_loss([queries, documents], torch.tensor([[9.0, 1.0]]), dot_score, 1.0)
    assert value.item() == pytest.approx(-math.log(3 / 4))


def test_pooling_leaves_out_what_is_not_compared():
    shared = torch.tensor([[[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]]])
    states = torch.tensor([[[1.0, 4.0], [9.0, 9.0], [3.0, 0.0]]], requires_grad=True)
    pooled = pooled_states(states, Alignment(shared))
    assert pooled.tolist() == [[2.0, 2.0]] and not pooled.requires_grad
    assert pooled_states(states, Alignment(torch.zeros(1, 3, 2))).tolist() == [[0.0, 0.0]]


def test_first_only_filters_learn_and_then_the_teachers_is_held(student, teacher):
    loss, label = filtered(student, teacher, layers="uniform"), torch.tensor(LABEL)
    for step in range(3):
        loss.zero_grad()
        loss(features_of(student), label).backward()
        of_student = [weight.grad for weight in student.parameters() if weight.grad is not None]
        moved = {
            "student": any(gradient.abs().max() > 0 for gradient in of_student),
            "mine": all(one.weight.grad.abs().max() > 0 for one in loss.projections),
            "theirs": all(one.weight.grad is not None for one in loss.filters),
        }
        assert moved == {"student": step == 2, "mine": True, "theirs": step < 2}
    with torch.no_grad():
        loss(features_of(student), label)
    assert loss.steps == 3


def test_then_filtered_states_are_compared(student, teacher):
    loss = filtered(student, teacher)
    loss.steps = 2
    with torch.no_grad():
        loss.filters[0].weight.copy_(torch.randn(48, 48, generator=torch.Generator().manual_seed(1)))
    value = loss(features_of(student), torch.tensor(LABEL)).item()
    seen = run_student(student, features_of(student), torch.tensor(LABEL), hidden_states=[2])
    parts = []
    for side in (seen.queries, seen.documents):
        reading = loss.read_texts(seen, side)
        states = loss.filters[0](reading.alignments[0].average(reading.recorded.hidden_states[3]))
        mine = loss.projections[0](side.recorded.hidden_states[2])
        parts.append(state_distance(mine, states, reading.alignments[0].compared, normalize=True).mean())
    assert value == pytest.approx(sum(parts).item() / 2, rel=1e-5)


def test_a_stock_trainer_fits_filters_and_then_distils_and_resumes(student, teacher, tmp_path):
    def train(student, folder, **options):
        loss = filtered(student, teacher, filter_steps=3)
        before = own_state(loss)["filters.0.weight"].clone()
        trainer = stock_trainer(student, loss, folder, max_steps=4, callbacks=[KeepLossWeights(loss)], **options)
        return loss, before, trainer

    saving = {"save_strategy": "steps", "save_steps": 2}
    twin = copy.deepcopy(student)
    loss, before, trainer = train(student, tmp_path, **saving)
    trainer.train()
    assert not torch.equal(loss.filters[0].weight, before) and loss.steps == 4
    again, _, resumed = train(twin, tmp_path, **saving)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert again.steps == 4
    for name, value in own_state(loss).items():
        same = own_state(again)[name]
        assert torch.equal(value, same) if isinstance(value, torch.Tensor) else value == same


@pytest.mark.parametrize(("steps", "warned"), [(3, True), (2, False)], ids=["too few", "enough"])
def test_a_training_of_filters_alone_is_warned_of(student, teacher, tmp_path, caplog, steps, warned):
    loss = filtered(student, teacher, filter_steps=steps)
    stock_trainer(student, loss, tmp_path, max_steps=3, callbacks=[KeepLossWeights(loss)]).train()
    assert ("Filters were fitted in all 3 batches" in caplog.text) == warned


def test_the_model_card_can_print_it(student, teacher):
    loss = filtered(student, teacher)
    assert json.loads(json.dumps(loss.get_config_dict()))["filter_steps"] == 2 and "ted" in loss.citation
    plain = HiddenStateMSELoss(student, teacher=teacher)
    assert "filter_steps" not in {**plain.get_config_dict(), **vars(plain)} and "ted" not in plain.citation
    assert own_state(plain).keys() == {"projections.0.weight"}


def test_what_has_no_task_is_refused(student, teacher):
    with pytest.raises(InputError, match="a SentenceTransformer as teacher of filters, got a CrossEncoder"):
        filtered(student, tiny_cross_encoder(seed=3))
    with pytest.raises(InputError, match="filter_steps"):
        filtered(student, teacher, filter_steps=0)
    with pytest.raises(InputError, match="a label for filters"):
        filtered(student, teacher)(features_of(student))
