"""The gradient-cached listwise loss has the gradient of the plain one, with a mini-batch in memory at once."""

from __future__ import annotations

import copy

import pytest
import torch
from sentence_transformers.base.losses import gradcache
from sentence_transformers.sentence_transformer import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from st_mta.errors import InputError
from st_mta.losses import CachedListwiseKLLoss, ListwiseKLLoss, cached, listwise
from st_mta.losses.embedding import EmbeddingSpaces
from tests.losses.conftest import LABEL, PASSAGES, QUERIES, features_of, stock_trainer
from tests.tiny import tiny_tokenizer


@pytest.fixture
def student(student):
    return student.double()


def flat(model):
    """Documents in columns of five, five and two, with a teacher of whole batches and targets to regress to."""
    texts = [passage for row in PASSAGES for passage in row]
    generator = torch.Generator().manual_seed(0)
    queries, documents, query_targets, document_targets = (
        torch.randn(n, dim, generator=generator).double() for n, dim in ((4, 3), (12, 3), (4, 8), (12, 8))
    )
    label = {
        "scores": torch.tensor(LABEL).double()[:, None],
        "index": torch.arange(12).reshape(4, 3),
        "positive": torch.tensor([[True, False, False]] * 4),
        "teacher_queries": queries,
        "teacher_documents": documents,
        "query_targets": query_targets,
        "document_targets": document_targets,
    }
    return [dict(model.preprocess(column)) for column in (QUERIES, texts[:5], texts[5:10], texts[10:])], label


def columns(model):
    return features_of(model), torch.tensor(LABEL).double()


def gradients(loss, inputs):
    loss.zero_grad()
    found = loss(*inputs)
    terms = found if isinstance(found, dict) else {"loss": found}
    (3.0 * torch.stack([*terms.values()]).sum()).backward()  # as a trainer scales it
    named = {name: p.grad.clone() for name, p in loss.named_parameters() if p.grad is not None}
    return {name: term.item() for name, term in terms.items()}, named


@pytest.mark.parametrize(
    ("inputs", "options"),
    [
        (columns, {"contrastive_weight": 0.2}),
        (flat, {"contrastive_weight": 0.2, "return_components": True}),
        (flat, {"contrastive_weight": 0.2, "candidates": "in-batch", "return_components": True}),
        (flat, {"regression_weight": 2.0, "regression_terms": {"mse": 1.0, "gram": 1.0}}),
    ],
    ids=["columns", "flat", "in batch", "own weights"],
)
def test_values_and_gradients_are_those_of_the_plain_form(student, inputs, options):
    torch.manual_seed(0)
    spaces = EmbeddingSpaces("learned", 32, 8).double() if "regression_weight" in options else None
    plain = ListwiseKLLoss(student, regression_map=spaces, **options)
    parts = CachedListwiseKLLoss(student, mini_batch_size=3, regression_map=spaces, **options)
    (values, expected), (found_values, found) = (gradients(loss, inputs(student)) for loss in (plain, parts))
    assert found_values == pytest.approx(values, rel=1e-9) and found.keys() == expected.keys()
    assert any("regression_map" in name for name in found) == (spaces is not None)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-6)
    assert max(gradient.abs().max() for gradient in expected.values()) > 1e-2
    with torch.no_grad():
        assert sum(parts(*inputs(student)).values() if "return_components" in options else [parts(*inputs(student))]) \
            .item() == pytest.approx(sum(values.values()), rel=1e-9)  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"objective": "bce"}, {"query_weights": "error"}], ids=str)
def test_queries_are_compared_some_at_a_time_with_the_same_gradient(student, monkeypatch, options):
    monkeypatch.setattr(cached, "PAIRS_AT_ONCE", 12 * 3 + 5)
    rows, logits = [], listwise.student_logits
    monkeypatch.setattr(listwise, "student_logits", lambda q, *more: rows.append(len(q)) or logits(q, *more))
    options |= {"contrastive_weight": 0.2, "candidates": "in-batch", "return_components": True}
    inputs = flat(student)
    inputs[1]["positive"][0, 0] = False  # a query without a positive
    plain, parts = ListwiseKLLoss(student, **options), CachedListwiseKLLoss(student, **options)
    (values, expected), (found_values, found) = (gradients(loss, inputs) for loss in (plain, parts))
    whole = {"objective", "query_weights"} & options.keys()
    assert rows == ([4, 4] if whole else [4, 3, 1, 1, 3])  # the last two for gradients
    assert found_values == pytest.approx(values, rel=1e-6) and found.keys() == expected.keys()
    assert any("learned" in name for name in found) == ("objective" in options)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-5)


def test_no_forward_pass_has_more_texts_than_a_mini_batch_and_the_second_draws_the_same_dropout(student, monkeypatch):
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.3
    student.train()
    sizes, passes, forward = [], [], student.forward

    def watched(features, **named):
        sizes.append(len(features["input_ids"]))
        found = forward(features, **named)
        passes.append(found["sentence_embedding"].detach())
        return found

    monkeypatch.setattr(student, "forward", watched)
    torch.manual_seed(1)
    CachedListwiseKLLoss(student, mini_batch_size=3)(*flat(student)).backward()
    assert sizes == [3, 1, 3, 2, 3, 2, 2] * 2
    for first, second in zip(passes[:7], passes[7:]):
        assert torch.equal(first, second)
    assert not torch.equal(passes[0][:1], forward(flat(student)[0][0])["sentence_embedding"][:1])


def test_it_trains_in_a_stock_trainer_as_the_plain_form_does(student, tmp_path):
    logs, weights = [], []
    for kind, options in ((ListwiseKLLoss, {}), (CachedListwiseKLLoss, {"mini_batch_size": 2})):
        one = copy.deepcopy(student)
        loss = kind(one, contrastive_weight=0.1, return_components=True, **options)
        changes = {"max_steps": 2, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 2}
        trainer = stock_trainer(one, loss, tmp_path / kind.__name__, **changes)
        trainer.train()
        logs.append([entry for entry in trainer.state.log_history if "loss" in entry])
        weights.append(torch.cat([p.detach().flatten() for p in one.parameters()]))
    for plain, parts in zip(*logs):
        assert parts["loss"] == pytest.approx(plain["loss"], abs=2e-4)
        assert parts["contrastive"] == pytest.approx(plain["contrastive"], abs=2e-4)
    assert logs[0][0]["kl_teacher"] == pytest.approx(logs[1][0]["kl_teacher"], abs=2e-4)
    torch.testing.assert_close(weights[0], weights[1], atol=1e-5, rtol=0)


def test_matryoshka_asks_for_every_dimension(student):
    for candidates in ("list", "in-batch"):
        values = []
        for kind, options in ((ListwiseKLLoss, {}), (CachedListwiseKLLoss, {"mini_batch_size": 5})):
            inner = kind(student, candidates=candidates, **options)
            values.append(gradients(MatryoshkaLoss(student, inner, [32, 8]), flat(student)))
        assert values[0][0] == pytest.approx(values[1][0])
        for name, gradient in values[0][1].items():
            torch.testing.assert_close(values[1][1][name], gradient, atol=1e-6, rtol=1e-6)


def test_what_cannot_be_embedded_in_parts_is_refused(student, monkeypatch):
    with pytest.raises(InputError, match="mini_batch_size to be at least 1"):
        CachedListwiseKLLoss(student, mini_batch_size=0)
    static = SentenceTransformer(modules=[StaticEmbedding(tiny_tokenizer(), embedding_dim=4)], device="cpu")
    with pytest.raises(InputError, match="StaticEmbedding"):
        CachedListwiseKLLoss(static)
    monkeypatch.setattr(cached, "num_processes", lambda: 2)
    monkeypatch.delattr(gradcache, "_ddp_replay_context", raising=False)
    with pytest.raises(InputError, match="6.2 or later"):
        CachedListwiseKLLoss(student)
