"""A host's loss gets the columns it expects, from ragged and masked lists too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import (
    DistillKLDivLoss,
    EmbedDistillLoss,
    GISTEmbedLoss,
    MarginMSELoss,
    MultipleNegativesRankingLoss,
    TripletLoss,
)
from torch import nn

from st_mta.errors import InputError
from st_mta.losses import HostLoss
from st_mta.losses.host import target_embeddings, teacher_scores
from st_mta.scored import ScoredCandidates
from st_mta.training.collator import FlatDocumentsCollator, listwise_dataset
from st_mta.types import Candidates, Texts
from tests import reference
from tests.losses.conftest import LABEL, PASSAGES, QUERIES, Flat, column_batch, flat_batch, gradcheck
from tests.tiny import tiny_sentence_transformer


class Recorder(nn.Module):
    """A host's loss that keeps what it was given."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def compute_loss_from_embeddings(self, embeddings, labels):
        self.calls.append((embeddings, labels))
        return torch.stack(embeddings).square().mean()


def ragged():
    """Lists of 3, 2 and 3 valid candidates, one of 1, and one without a positive; the second has two positives."""
    index = torch.tensor([[0, 1, 2, 3], [4, 5, 6, -1], [1, 6, 7, -1], [2, 3, -1, -1], [0, 5, -1, -1]])
    scores = torch.arange(20.0).reshape(5, 1, 4).repeat(1, 2, 1)
    scores[0, 1, 3] = scores[1, 0, 0] = scores[3, 0, 1] = torch.nan
    positive = torch.zeros(5, 4, dtype=torch.bool)
    positive[0, 2] = positive[1, 1] = positive[1, 2] = positive[2, 0] = positive[3, 0] = True
    generator = torch.Generator().manual_seed(0)
    queries, documents = (torch.randn(n, 4, generator=generator).requires_grad_() for n in (5, 8))
    return Flat(queries, documents, scores, index, positive)


def test_columns_have_the_positives_first_and_each_length_comes_by_itself(student):
    flat, recorder = ragged(), Recorder()
    value = HostLoss(student, loss=recorder, label=teacher_scores).compute_loss_from_embeddings(
        flat.embeddings, flat.label
    )
    (short, short_label), (long, long_label) = recorder.calls
    documents = flat.documents
    for column, rows in zip(short, (flat.queries[[1, 4]], documents[[5, 0]], documents[[6, 5]])):
        assert torch.equal(column, rows)
    assert short_label.tolist() == [[5, 6], [16, 17]]
    for column, rows in zip(long, (flat.queries[[0, 2]], documents[[2, 1]], documents[[0, 6]], documents[[1, 7]])):
        assert torch.equal(column, rows)
    assert long_label.tolist() == [[2, 0, 1], [8, 9, 10]]
    parts = [2 * torch.stack(columns).square().mean() for columns, _ in recorder.calls]
    assert value.item() == pytest.approx((parts[0] + parts[1]).item() / 4)


def test_without_a_label_only_lists_with_a_positive_count_and_further_positives_are_left_out(student):
    flat, recorder = ragged(), Recorder()
    flat.index[1, 3], flat.scores[1, :, 3] = 7, 1.0
    HostLoss(student, loss=recorder, label=None).compute_loss_from_embeddings(flat.embeddings, flat.label)
    (short, none), (long, _) = recorder.calls
    assert none is None and torch.equal(short[0], flat.queries[[1]]) and torch.equal(long[0], flat.queries[[0, 2]])
    assert torch.equal(short[1], flat.documents[[5]]) and torch.equal(short[2], flat.documents[[7]])


def test_embeddings_of_another_model_go_with_their_columns(student):
    flat, recorder = ragged(), Recorder()
    label = flat.label | {"query_targets": 2 * flat.queries.detach(), "document_targets": 2 * flat.documents.detach()}
    HostLoss(student, loss=recorder, label=target_embeddings).compute_loss_from_embeddings(flat.embeddings, label)
    for columns, targets in recorder.calls:
        assert all(torch.equal(2 * column, target) for column, target in zip(columns, targets, strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_margin_mse_of_ragged_lists_equals_the_reference(seed):
    student = tiny_sentence_transformer(normalize=False, similarity="dot")
    flat = flat_batch(seed)
    loss = HostLoss(student, loss=MarginMSELoss(student), label=teacher_scores)
    values = []
    for query, scores, row, positive in zip(flat.queries, flat.scores, flat.index, flat.positive):
        kept = [n for n in range(6) if row[n] >= 0 and scores[:, n].isfinite().all()]
        kept.sort(key=lambda n: not positive[n])
        if len(kept) >= 2:
            similarities = [reference.dot(query.tolist(), flat.documents[row[n]].tolist()) for n in kept]
            values.append(reference.margin_mse([similarities], [[scores[0, n].item() for n in kept]]))
    value = loss.compute_loss_from_embeddings(flat.embeddings, flat.label)
    assert value.item() == pytest.approx(sum(values) / len(values))
    assert gradcheck(loss, flat.embeddings, flat.label)


def test_full_lists_are_what_the_host_computes_by_itself(student):
    embeddings, _ = column_batch(0)
    label = 3 * torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for host, of_label, given in (
        (MarginMSELoss(student), teacher_scores, label),
        (DistillKLDivLoss(student), teacher_scores, label),
        (MultipleNegativesRankingLoss(student), None, None),
        (TripletLoss(student), None, None),
    ):
        columns = embeddings[:4] if isinstance(host, TripletLoss) else embeddings
        columns, given = (embeddings[:3], given) if isinstance(host, TripletLoss) else (columns, given)
        scores = label[:, : len(columns) - 1]
        value = HostLoss(student, loss=host, label=of_label).compute_loss_from_embeddings(columns, scores)
        assert value.item() == pytest.approx(host.compute_loss_from_embeddings(columns, given).item())


@pytest.mark.parametrize("label", [teacher_scores, None])
def test_a_batch_that_teaches_nothing_is_zero_on_the_graph(student, label):
    embeddings, scores = column_batch(0)
    loss = HostLoss(student, loss=MarginMSELoss(student), label=label)
    value = loss.compute_loss_from_embeddings(embeddings, torch.full_like(scores, torch.nan))
    value.backward()
    assert value.item() == 0 and all((embedding.grad == 0).all() for embedding in embeddings)


def test_a_loss_that_cannot_be_given_embeddings_or_is_around_another_model_is_refused(student):
    another = tiny_sentence_transformer(seed=2)
    for loss in (GISTEmbedLoss(student, another), MarginMSELoss(another)):
        with pytest.raises(InputError, match="compute_loss_from_embeddings around the model"):
            HostLoss(student, loss=loss, label=None)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize(
    ("make", "label"),
    [
        (MarginMSELoss, teacher_scores),
        (DistillKLDivLoss, teacher_scores),
        (MultipleNegativesRankingLoss, None),
        (EmbedDistillLoss, target_embeddings),
    ],
    ids=lambda one: getattr(one, "__name__", "none"),
)
def test_a_stock_trainer_lowers_it_on_the_flat_form(tmp_path, student, make, label, bf16):
    passages = Texts.from_dict({f"p{n}": text for n, text in enumerate(p for row in PASSAGES for p in row)})
    queries = Texts.from_dict({f"q{n}": text for n, text in enumerate(QUERIES)})
    lengths = [3, 3, 2, 3]  # the third list lacks its last passage
    at = np.array([3 * row + n for row, length in enumerate(lengths) for n in range(length)])
    lists = Candidates(
        queries=np.arange(4), offsets=np.cumsum([0, *lengths]), passages=at, positive=at % 3 == 0,
        source=np.zeros(len(at), dtype=np.int64), sources=("qrels",),
    )  # fmt: skip
    scores = np.array(LABEL, dtype=np.float32).reshape(-1)[at][None] / 10
    loss = HostLoss(student, loss=make(student), label=label)
    trainer = SentenceTransformerTrainer(
        model=student,
        args=SentenceTransformerTrainingArguments(
            str(tmp_path), max_steps=12, per_device_train_batch_size=4, learning_rate=1e-3, bf16=bf16, use_cpu=True,
            save_strategy="no", logging_steps=1, report_to="none", lr_scheduler_type="constant", warmup_steps=0,
        ),
        train_dataset=listwise_dataset(ScoredCandidates(lists, scores), queries),
        data_collator=FlatDocumentsCollator(
            student.preprocess,
            corpus=passages,
            targets=embeddings_of(passages, queries) if label is target_embeddings else {},
        ),
        loss=loss,
    )  # fmt: skip
    trainer.train()
    values = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert values[-1] < 0.9 * values[0]


class Rows:
    """Embeddings by position."""

    def __init__(self, matrix):
        self.matrix = matrix

    def rows(self, positions):
        return self.matrix[positions]


def embeddings_of(passages, queries):
    random = np.random.default_rng(0)
    return {
        "query": Rows(random.normal(size=(len(queries), 32)).astype(np.float32)),
        "documents": Rows(random.normal(size=(len(passages), 32)).astype(np.float32)),
    }
