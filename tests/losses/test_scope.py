"""Compared over whole batches, the listwise loss is TCT-ColBERT's; with every list the batch it is that of lists."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss
from sentence_transformers.util import dot_score

from st_mta.assistants.targets import AssistantTargets
from st_mta.errors import InputError
from st_mta.filters import DynamicFilter
from st_mta.losses import OBJECTIVES, FilterSchedule, ListwiseKLLoss, in_batch_teacher, set_filter_iteration
from st_mta.losses.in_batch_teacher import max_sim
from tests import reference
from tests.losses.conftest import SIMILARITIES, flat_batch, gradcheck, stock_trainer

IN_BATCH = {"candidates": "in-batch"}


def with_teacher(flat, seed=0, *, dim=3):
    """The label with a bi-encoder's embeddings, and the scores that they make."""
    generator = torch.Generator().manual_seed(seed)
    sides = [torch.randn(len(one), dim, generator=generator).double() for one in (flat.queries, flat.documents)]
    return flat.label | dict(zip(("teacher_queries", "teacher_documents"), sides)), sides[0] @ sides[1].T


def value_of(student, flat, label, **options):
    return ListwiseKLLoss(student, **IN_BATCH, **options).compute_loss_from_embeddings(flat.embeddings, label)


@pytest.mark.parametrize("relative", [None, 0.3])
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_equals_the_reference(student, similarity, relative):
    function, slow = SIMILARITIES[similarity]
    options = {"scale": 1.5, "contrastive_weight": 0.3, "contrastive_scale": 4.0}
    rule = None if relative is None else DynamicFilter(relative_margin=relative)
    for seed in range(6):
        flat = flat_batch(seed)
        label, scores = with_teacher(flat, seed)
        value = value_of(
            student, flat, label, similarity_fct=function, teacher_temperature=2.0, in_batch_filter=rule, **options
        )
        lists = (t.tolist() for t in (flat.queries, flat.documents, flat.scores, flat.index, flat.positive))
        expected = reference.in_batch_loss(
            *lists, scores.tolist(), similarity=slow, temperature=2.0, relative=relative, **options
        )
        assert value.item() == pytest.approx(expected) and expected > 0
        # In the other forms the same scores come as they are, or with their lists left out.
        matrix = flat.label | {"teacher_in_batch": scores}
        given = {"similarity_fct": function, "teacher_temperature": 2.0, "in_batch_filter": rule, **options}
        assert value_of(student, flat, matrix, **given).item() == pytest.approx(expected)


def test_by_hand(student):
    # Two queries with a positive and a negative each: four passages for both. The student's similarities are
    # log (3, 1, 1, 1) and log (1, 1, 1, 1); at 0.25 the teacher's are log (1, 1, 1, 1) and log (1, 4, 2, 1).
    queries = torch.eye(2)
    documents = torch.tensor([[math.log(3), 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    teacher = 0.25 * torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 4.0, 2.0, 1.0]]).log()
    label = {
        "index": torch.tensor([[0, 2], [1, 3]]),
        "positive": torch.tensor([[True, False]] * 2),
        "teacher_in_batch": teacher,
    }
    options = {"similarity_fct": dot_score, "teacher_temperature": 0.25, "contrastive_weight": 0.1}
    loss = ListwiseKLLoss(student, **IN_BATCH, **options, return_components=True)
    terms = loss._components([queries, documents], label)
    first = 0.25 * math.log(0.25 / 0.5) + 3 * 0.25 * math.log(0.25 / (1 / 6))
    second = sum(p * math.log(p / 0.25) for p in (1 / 8, 4 / 8, 2 / 8, 1 / 8))
    assert terms["kl_teacher"].item() == pytest.approx((first + second) / 2)
    assert terms["contrastive"].item() == pytest.approx(0.1 * (math.log(6 / 3) + math.log(4)) / 2)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_with_every_list_the_whole_batch_both_scopes_are_the_same(student, objective):
    flat = flat_batch(1, scorers=1, width=14)
    flat.index = torch.stack([torch.randperm(14, generator=torch.Generator().manual_seed(row)) for row in range(5)])
    label, scores = with_teacher(flat)
    label["scores"] = scores.gather(1, flat.index)[:, None]  # of the same teacher
    found = []
    for candidates in ("list", "in-batch"):
        loss = ListwiseKLLoss(student, candidates=candidates, objective=objective, contrastive_weight=0.4, scale=2.0)
        value = loss.compute_loss_from_embeddings(flat.embeddings, label)
        found.append((value, *torch.autograd.grad(value, flat.embeddings)))
    for one, other in zip(*found):
        torch.testing.assert_close(one, other)
    assert found[0][0] > 0


def test_embeddings_of_every_column_are_a_label_for_a_stock_trainer(student, tmp_path):
    """(B, 1 + N, D'): the query's, the positive's and each negative's, as the flat form has them."""
    generator = torch.Generator().manual_seed(0)
    label = torch.randn(4, 4, 5, generator=generator)
    label[1, 3] = torch.nan  # a missing passage
    columns = [torch.randn(4, 6, generator=generator).requires_grad_() for _ in range(4)]
    loss = ListwiseKLLoss(student, **IN_BATCH, contrastive_weight=0.2)
    value = loss.compute_loss_from_embeddings(columns, label)
    documents = torch.cat(columns[1:])
    flat = {
        "index": torch.arange(12).reshape(3, 4).T,
        "positive": torch.tensor([[True, False, False]] * 4),
        "teacher_queries": label[:, 0],
        "teacher_documents": torch.cat([label[:, n] for n in (1, 2, 3)]),
    }
    assert value.item() == loss.compute_loss_from_embeddings([columns[0], documents], flat).item() > 0
    value.backward()
    assert (columns[3].grad[1] == 0).all() and (columns[3].grad[0] != 0).any()
    trainer = stock_trainer(student, ListwiseKLLoss(student, **IN_BATCH), tmp_path, label=label.tolist(), max_steps=2)
    trainer.train()
    first, second = (entry["loss"] for entry in trainer.state.log_history if "loss" in entry)
    assert second < first


def test_a_positive_alone_is_a_list_where_the_batch_is_compared(student, caplog):
    queries, documents = torch.eye(2), torch.eye(2)
    label = torch.stack([torch.eye(2), torch.eye(2)], dim=1)
    loss = ListwiseKLLoss(student, **IN_BATCH, similarity_fct=dot_score, teacher_temperature=0.1)
    value = loss.compute_loss_from_embeddings([queries, documents], label)
    p, q = 1 / (1 + math.exp(-10)), 1 / (1 + math.exp(-1))
    assert value.item() == pytest.approx(p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)), rel=1e-4)
    assert not any("two candidates" in record.getMessage() for record in caplog.records)


def test_the_teacher_has_the_word_alone_and_no_assistant_is_selected(student):
    flat = flat_batch(2)
    label, scores = with_teacher(flat)
    targets = AssistantTargets(["a"], [3.0, 1.0])
    value = value_of(student, flat, label, targets=targets, alpha=0.2)
    assert value.item() == pytest.approx(value_of(student, flat, label, teacher_temperature=3.0).item())
    assert targets.frequencies() == {}
    own = value_of(student, flat, label, targets=lambda scores, mask: scores.masked_fill(~mask[:, None], -torch.inf))
    assert own.isfinite() and own.item() != value.item()


def test_a_missing_passage_has_exactly_no_gradient_from_its_query(student):
    flat = flat_batch(3)
    label, _ = with_teacher(flat)
    value_of(student, flat, label, contrastive_weight=0.5).backward()
    assert flat.masked().any() and (flat.documents.grad[flat.masked()] == 0).all()
    assert (flat.documents.grad[~flat.masked()] != 0).any(dim=1).all()


def test_a_passage_that_no_list_has_a_score_for_is_nobodys_candidate(student):
    flat = flat_batch(0, batch=2, width=2, documents=4)
    flat.index = torch.tensor([[0, 1], [2, 3]])
    scores = torch.randn(2, 4, generator=torch.Generator().manual_seed(0)).double()
    scores[0, 1] = torch.nan  # in its own list; the other query's score is known
    label = {"index": flat.index, "positive": torch.tensor([[True, False]] * 2), "teacher_in_batch": scores}
    value_of(student, flat, label).backward()
    assert (flat.documents.grad[1] == 0).all() and (flat.documents.grad[3] != 0).any()


def test_a_likely_false_negative_is_no_candidate_and_one_negative_stays(student):
    queries = torch.tensor([[1.0, 0.0]] * 2)
    documents = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.2, 0.5], [0.1, 0.7]]).requires_grad_()
    scores = torch.tensor([[5.0, 6.0, 1.0, 2.0], [4.0, 2.0, 7.0, 9.0]])
    label = {"index": torch.tensor([[0], [1]]), "positive": torch.tensor([[True]] * 2), "teacher_in_batch": scores}
    label["index"] = torch.tensor([[0, 2], [1, 3]])
    label["positive"] = torch.tensor([[True, False]] * 2)
    loss = ListwiseKLLoss(student, **IN_BATCH, in_batch_filter=DynamicFilter(absolute_margin=0.5), scale=1.0)
    lists, _ = loss._lists(loss._read([queries, documents], with_lists(label)), with_lists(label))
    # The first query loses passage 1 (6 > 4.5); all are above 1.5 for the second, which keeps the nearest, passage 0.
    assert lists.mask.tolist() == [[True, False, True, True], [True, True, False, False]]


def with_lists(label):
    return label | {"scores": label["teacher_in_batch"].gather(1, label["index"])[:, None]}


def test_the_filter_follows_its_schedule(student):
    flat = flat_batch(1)
    label, _ = with_teacher(flat)
    loss = ListwiseKLLoss(student, **IN_BATCH, in_batch_filter=DynamicFilter(absolute_margin=[-1e4, 1e4]))
    plain = value_of(student, flat, label).item()
    assert loss.compute_loss_from_embeddings(flat.embeddings, label).item() == plain
    set_filter_iteration(torch.nn.ModuleList([loss]), 1)
    assert loss.compute_loss_from_embeddings(flat.embeddings, label).item() != plain
    assert FilterSchedule(loss).loss.iteration == 1
    set_filter_iteration(other := ListwiseKLLoss(student), 1)
    assert "iteration" not in vars(other)


def test_gradcheck(student):
    flat = flat_batch(3, batch=3, width=4, documents=7, dim=2)
    label, _ = with_teacher(flat)
    loss = ListwiseKLLoss(student, **IN_BATCH, scale=2.0, contrastive_weight=0.3)
    assert gradcheck(loss, flat.embeddings, label)


def test_bfloat16_and_autocast_are_compared_in_float32(student):
    flat = flat_batch(0, dim=64, dtype=torch.float32)
    label, _ = with_teacher(flat)
    label = {name: value.float() if value.is_floating_point() else value for name, value in label.items()}
    narrow = [side.detach().bfloat16().requires_grad_() for side in flat.embeddings]
    loss = ListwiseKLLoss(student, **IN_BATCH, contrastive_weight=0.1)
    value = loss.compute_loss_from_embeddings(narrow, label)
    value.backward()
    assert value.dtype == torch.float32 and all(side.grad.isfinite().all() for side in narrow)
    wide = [side.detach().float() for side in narrow]
    with torch.autocast("cpu", torch.bfloat16):
        assert loss.compute_loss_from_embeddings(wide, label).item() == value.item()


def test_late_interaction_is_the_sum_of_largest_products():
    random = np.random.default_rng(0)
    lengths = [(3, 1, 2, 0), (4, 2, 0)]
    sides = [[random.normal(size=(n, 2)) for n in counts] for counts in lengths]
    tensors = []
    for side in sides:
        padded = np.full((len(side), 4, 2), np.nan)
        for row, tokens in enumerate(side):
            padded[row, : len(tokens)] = tokens
        tensors.append(torch.from_numpy(padded))
    expected = [[reference.max_sim(q.tolist(), d.tolist()) for d in sides[1]] for q in sides[0]]
    np.testing.assert_allclose(max_sim(*tensors), expected)


def test_token_vectors_are_a_teacher(student):
    flat = flat_batch(0)
    tokens = torch.randn(5, 3, 4).double(), torch.randn(14, 6, 4).double()
    tokens[1][2, 4:] = torch.nan
    label = flat.label | dict(zip(("teacher_queries", "teacher_documents"), tokens))
    expected = value_of(student, flat, flat.label | {"teacher_in_batch": max_sim(*tokens)})
    assert value_of(student, flat, label).item() == expected.item()


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (torch.zeros(4, 3), r"a label \(4, 4, D'\).*\(4, 3\)"),
        ({"scores": torch.zeros(4, 1, 3)}, "candidates='list', for which the scores of a cross-encoder suffice"),
        ({"teacher_in_batch": torch.zeros(4, 11)}, r"teacher_in_batch with the shape \(4, 12\)"),
        ({"teacher_queries": torch.zeros(3, 2), "teacher_documents": torch.zeros(12, 2)}, r"teacher_queries .*\(4,"),
        ({"teacher_queries": torch.zeros(4, 2), "teacher_documents": torch.zeros(12, 3)}, "from the same model"),
    ],
    ids=["list scores", "no teacher", "matrix", "queries", "widths"],
)
def test_a_label_without_scores_of_whole_batches_is_refused(student, label, said):
    columns = [torch.randn(4, 2) for _ in range(4)]
    if isinstance(label, dict):
        lists = {"index": torch.arange(12).reshape(4, 3), "positive": torch.zeros(4, 3).bool()}
        label, columns = lists | label, [columns[0], torch.cat(columns[1:])]
    with pytest.raises(InputError, match=said):
        ListwiseKLLoss(student, **IN_BATCH).compute_loss_from_embeddings(columns, label)


def test_finished_scores_say_nothing_of_the_passages_of_other_processes(student, monkeypatch):
    monkeypatch.setattr(in_batch_teacher, "num_processes", lambda: 2)
    label = {"teacher_in_batch": torch.zeros(2, 3)}
    assert in_batch_teacher.teacher_of(label, 2, 3, gathered=False).scores.shape == (2, 3)
    with pytest.raises(InputError, match="gather_across_devices=False"):
        in_batch_teacher.teacher_of(label, 2, 3, gathered=True)


def test_words_and_options_that_have_no_meaning_are_refused(student):
    assert ListwiseKLLoss(student, candidates="in_batch").candidates == "in-batch"
    with pytest.raises(InputError, match="candidates to be one of list, in-batch"):
        ListwiseKLLoss(student, candidates="batch")
    for options in ({"candidates": "list"}, IN_BATCH):
        with pytest.raises(InputError, match="in_batch_filter without temperature"):
            ListwiseKLLoss(student, **options, in_batch_filter=DynamicFilter(temperature=1.0))


def test_the_card_names_the_scope_and_a_plain_loss_is_as_it_was(student):
    config = ListwiseKLLoss(student, **IN_BATCH, in_batch_filter=DynamicFilter(0.1)).get_config_dict()
    assert config["candidates"] == "in-batch" and "relative_margin=0.1" in config["in_batch_filter"]
    assert not {"candidates", "in_batch_filter"} & {*ListwiseKLLoss(student).get_config_dict()}
    assert not {"candidates", "in_batch_filter", "iteration"} & {*vars(ListwiseKLLoss(student))}


def test_a_teacher_that_a_wrapper_has_cut_is_refused(student):
    """The host cuts every label that is as wide as the student's embeddings; others are left as they are."""
    texts = [["cat", "dog"], ["a cat", "a dog"], ["sea", "road car"]]
    wrapped = MatryoshkaLoss(student, ListwiseKLLoss(student, candidates="in-batch"), [32, 16])

    def value(dim):
        teacher = torch.randn(2, 3, dim, generator=torch.Generator().manual_seed(0))
        return wrapped([student.preprocess(column) for column in texts], teacher)

    assert value(24) > 0
    with pytest.raises(InputError, match="got 16 numbers of each, which are as many as are left of the student's 32"):
        value(32)
