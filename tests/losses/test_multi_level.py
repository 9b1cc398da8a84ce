"""All levels together: the sum of its parts, over one forward pass, in the host's own trainer."""

from __future__ import annotations

import copy
import json

import pytest
import torch

from st_mta.errors import InputError
from st_mta.filters import DynamicFilter
from st_mta.losses import (
    AttentionMSELoss,
    FilteredContrastiveLoss,
    HiddenStateMSELoss,
    ListwiseKLLoss,
    MultiLevelDistillationLoss,
)
from tests.losses.conftest import LABEL, PASSAGES, QUERIES, features_of, stock_trainer
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer


@pytest.fixture(scope="module")
def teacher():
    return tiny_cross_encoder(seed=3, layers=3, dim=48)


def batch_of(student):
    return features_of(student), torch.tensor(LABEL)


def every_level(student, teacher, **options):
    torch.manual_seed(0)
    return MultiLevelDistillationLoss(
        student,
        contrastive=FilteredContrastiveLoss(student, filter=DynamicFilter(relative_margin=0.2)),
        sentence=ListwiseKLLoss(student, teacher_temperature=4.0),
        word={
            "attention": AttentionMSELoss(student, teacher=teacher, variant="self", distance="kl"),
            "hidden": HiddenStateMSELoss(student, teacher=teacher),
        },
        **options,
    )


def test_it_is_the_weighted_sum_of_its_parts(student, teacher):
    weights = {"contrastive_weight": 0.5, "sentence_weight": 2.0, "word_weight": {"attention": 0.3, "hidden": 0.7}}
    loss = every_level(student, teacher, **weights, return_components=True)
    terms = loss(*batch_of(student))
    parts = {"contrastive": 0.5 * loss.contrastive(*batch_of(student))}
    parts["sentence"] = 2.0 * loss.sentence(*batch_of(student))
    parts["attention"] = 0.3 * loss.word["attention"](features_of(student))
    parts["hidden"] = 0.7 * loss.word["hidden"](features_of(student))
    assert list(terms) == list(parts)
    for name, value in terms.items():
        assert value.item() == pytest.approx(parts[name].item(), rel=1e-5) and value > 0
    loss.return_components = False
    assert loss(*batch_of(student)).item() == pytest.approx(sum(parts.values()).item(), rel=1e-5)


def test_the_student_runs_once_for_all(student, teacher, monkeypatch):
    rows = []
    forward = student.forward
    monkeypatch.setattr(student, "forward", lambda f: rows.append(len(f["input_ids"])) or forward(f))
    every_level(student, teacher)(*batch_of(student))
    assert rows == [4, 12]


def test_a_teacher_of_several_levels_runs_once(student, teacher, monkeypatch):
    calls = []
    forward = teacher.forward
    monkeypatch.setattr(teacher, "forward", lambda f: calls.append(1) or forward(f))
    loss = every_level(student, teacher)
    loss(*batch_of(student))
    assert len(calls) == 1
    assert loss.word["hidden"].coverage.item() == loss.word["attention"].coverage.item() == 1
    loss.word["hidden"].num_candidates = None
    loss(*batch_of(student))
    assert len(calls) == 3


def gradient_of(term, student):
    gradients = torch.autograd.grad(term, list(student.parameters()), retain_graph=True, allow_unused=True)
    return torch.cat([gradient.flatten() for gradient in gradients if gradient is not None])


def test_balanced_terms_pull_as_hard_as_their_weights_say(student, teacher):
    weights = {"sentence_weight": 2.0, "word_weight": {"attention": 0.5, "hidden": 3.0}}
    loss = every_level(student, teacher, **weights, balance_every=2, return_components=True)
    terms = loss(*batch_of(student))
    plain = every_level(student, teacher, return_components=True)(*batch_of(student))
    lengths = {name: gradient_of(term, student).norm().item() for name, term in terms.items()}
    expected = {"contrastive": 1.0, "sentence": 2.0, "attention": 0.5, "hidden": 3.0}
    assert terms["contrastive"].item() == pytest.approx(plain["contrastive"].item())
    for name, weight in expected.items():
        assert lengths[name] == pytest.approx(weight * lengths["contrastive"], rel=1e-3)
    factors = dict(loss._balance.factors)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.mul_(1.1)
        loss(*batch_of(student))
    loss(*batch_of(student))
    assert loss._balance.factors == factors  # evaluation measures nothing, nor does every second step
    loss(*batch_of(student))
    assert loss._balance.factors != factors


def test_a_weight_of_zero_leaves_a_level_out(student, teacher):
    loss = every_level(student, teacher, contrastive_weight=0.0, word_weight={"attention": 1, "hidden": 0})
    loss.return_components = True
    assert list(loss(*batch_of(student))) == ["sentence", "attention"]
    assert list(loss.get_config_dict()) == ["sentence", "attention"]
    json.dumps(loss.get_config_dict())


def test_parts_of_another_student_and_names_that_are_taken_are_refused(student, teacher):
    with pytest.raises(InputError, match="got sentence"):
        MultiLevelDistillationLoss(student, sentence=ListwiseKLLoss(tiny_sentence_transformer(seed=9)))
    with pytest.raises(InputError, match="got contrastive"):
        MultiLevelDistillationLoss(student, word={"contrastive": AttentionMSELoss(student, teacher=teacher)})
    with pytest.raises(InputError, match="got attention"):
        MultiLevelDistillationLoss(
            student, word={"attention": AttentionMSELoss(student, teacher=teacher)}, word_weight={"hidden": 1.0}
        )
    with pytest.raises(InputError, match="the weight of sentence"):
        MultiLevelDistillationLoss(student, sentence_weight=-1.0)
    with pytest.raises(InputError, match="the largest weight"):
        MultiLevelDistillationLoss(student, contrastive_weight=0.0, sentence_weight=0.0)


def test_embeddings_do_not_suffice_for_the_word_level(student, teacher):
    embeddings = [student(column)["sentence_embedding"] for column in features_of(student)]
    with pytest.raises(InputError, match="got attention, hidden"):
        every_level(student, teacher).compute_loss_from_embeddings(embeddings, torch.tensor(LABEL))


# --- in a stock trainer -------------------------------------------------------------------------------------------


def train(student, loss, folder, **options):
    trainer = stock_trainer(student, loss, folder, **{"max_steps": 4} | options)
    trainer.train()
    return trainer, [entry for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_checkpointing": True},
        {"bf16": True},
        {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
        {"gradient_checkpointing": True, "balance_every": 2},
    ],
    ids=["plain", "checkpointing", "bf16", "accumulation", "balanced"],
)
def test_a_stock_trainer_lowers_every_level(student, teacher, tmp_path, options):
    options = dict(options)
    loss = every_level(student, teacher, balance_every=options.pop("balance_every", 0), return_components=True)
    before = loss.word["hidden"].projections[0].weight.detach().clone()
    trainer, logged = train(student, loss, tmp_path, **options)
    assert logged[-1]["loss"] < 0.9 * logged[0]["loss"]
    for name in ("contrastive", "sentence", "attention", "hidden"):
        assert logged[-1][name] == logged[-1][name] and logged[-1][name] < logged[0][name] * 1.2
    assert not torch.equal(loss.word["hidden"].projections[0].weight, before)
    in_optimizer = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert not in_optimizer & {id(p) for p in teacher.parameters()}
    assert student.transformers_model.config._attn_implementation == "sdpa"


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
def test_checkpointing_changes_nothing_but_memory(student, teacher, tmp_path):
    found = []
    for checkpointing in (False, True):
        model = copy.deepcopy(student)
        _, logged = train(
            model, every_level(model, teacher), tmp_path, gradient_checkpointing=checkpointing, max_steps=2
        )
        found.append([entry["loss"] for entry in logged])
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_prompts_are_left_out_of_the_word_level(student, teacher, tmp_path):
    loss = AttentionMSELoss(student, teacher=teacher)
    seen = []
    read = loss._reader.read
    loss._reader.read = lambda sides, rows: seen.append(read(sides, rows)) or seen[-1]
    train(student, loss, tmp_path, max_steps=1, prompts={"query": "the query: "})
    texts = [teacher.tokenizer.decode(ids, skip_special_tokens=True) for ids in seen[0].features["input_ids"]]
    assert sorted(texts) == sorted(f"{query} {row[0]}" for query, row in zip(QUERIES, PASSAGES))
    assert loss.coverage.item() == 1
