"""The terms of embedding distillation over the queries and documents of a batch of lists."""

from __future__ import annotations

import pytest
import torch

from st_mta.errors import InputError
from st_mta.losses import ListwiseKLLoss
from st_mta.losses.batch import read_batch
from st_mta.losses.embedding import EmbeddingSpaces
from st_mta.losses.embedding.in_lists import list_terms
from st_mta.losses.regression import embedding_regression
from tests.reference import embedding_cosine, embedding_gram
from tests.tiny import tiny_sentence_transformer


def batch(width=4, target_width=4, **changes):
    random = torch.Generator().manual_seed(0)
    label = {
        "scores": torch.zeros(2, 1, 3),
        "index": torch.tensor([[0, 1, 2], [2, 3, 4]]),
        "positive": torch.zeros(2, 3, dtype=torch.bool),
        "query_targets": torch.randn(2, target_width, generator=random),
        "document_targets": torch.randn(5, target_width, generator=random),
    }
    texts = [torch.randn(2, width, generator=random), torch.randn(5, width, generator=random)]
    return read_batch([text.requires_grad_() for text in texts], {**label, **changes})


def test_the_distance_is_the_sum_of_two_means():
    found = list_terms(batch(), {"cosine": 2.0})["cosine"]
    both = batch()
    expected = embedding_cosine(both.queries.tolist(), both.query_targets.tolist()) + embedding_cosine(
        both.documents.tolist(), both.document_targets.tolist()
    )
    assert float(found.detach()) == pytest.approx(2 * expected, rel=1e-6)
    assert float(found.detach()) == pytest.approx(2 * float(embedding_regression(both).detach()), rel=1e-6)


def test_similarities_are_those_of_all_texts_and_need_no_map():
    both = batch(target_width=6, width=6)
    found = list_terms(both, {"gram": 3.0})["gram"]
    student, targets = (
        torch.cat([both.queries, both.documents]),
        torch.cat([both.query_targets, both.document_targets]),
    )
    assert float(found.detach()) == pytest.approx(3 * embedding_gram(student.tolist(), targets.tolist()), rel=1e-6)


def test_a_map_leads_to_targets_of_another_width():
    both, spaces = batch(target_width=7), EmbeddingSpaces("learned", 4, 7)
    sum(list_terms(both, {"cosine": 1.0, "gram": 1.0}, spaces).values()).backward()
    assert spaces.projection.weight.grad.abs().sum() > 0


def test_without_targets_or_a_map_it_is_refused():
    with pytest.raises(InputError, match="targets of 2 texts"):
        list_terms(batch(query_targets=None), {"cosine": 1.0})
    with pytest.raises(InputError, match="regression_map"):
        list_terms(batch(target_width=7), {"cosine": 1.0})


def test_the_listwise_loss_regresses_by_the_terms_and_the_map_it_is_given():
    both, spaces = batch(target_width=7), EmbeddingSpaces("learned", 4, 7)
    terms = {"cosine": 0.5, "gram": 2.0}
    label = {
        "scores": torch.randn(2, 1, 3, generator=torch.Generator().manual_seed(1)),
        "index": torch.tensor([[0, 1, 2], [2, 3, 4]]),
        "positive": torch.eye(2, 3).bool(),
        "query_targets": both.query_targets,
        "document_targets": both.document_targets,
    }
    loss = ListwiseKLLoss(
        tiny_sentence_transformer(1), regression_weight=3.0, regression_terms=terms, regression_map=spaces
    )
    found = loss._components([both.queries, both.documents], label)["regression"]
    expected = 3 * sum(list_terms(both, terms, spaces).values())
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    assert any(weight is spaces.projection.weight for weight in loss.parameters())
