"""The listwise loss of a cross-encoder equals its formula, on the host's lists of texts and on tokenised pairs."""

from __future__ import annotations

import math

import pytest
import torch
from datasets import Dataset
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import ListNetLoss
from torch import nn

from st_mta.errors import InputError
from st_mta.losses import ListwiseKLLoss, ListwiseRerankerLoss
from st_mta.losses.by_name import find_loss
from st_mta.losses.loss_weights import own_state
from tests import reference
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer

QUERIES = ["what is a cat", "where is the fish"]
PASSAGES = [["the cat eats", "a red car", "the sun shines"], ["the fish swims", "wind and fire"]]
SCORES = [[4.0, -1.0, 0.5], [2.0, 3.0]]
NAN = math.nan


@pytest.fixture(scope="module")
def model():
    return tiny_cross_encoder(1)


def labels_of(lists):
    """Lists of (logits, scores (S, N), positive) as all logits and the label of tokenised pairs."""
    width = max(len(logits) for logits, _, _ in lists)
    scores = torch.full((len(lists), len(lists[0][1]), width), NAN)
    index, positive = torch.full((len(lists), width), -1), torch.zeros(len(lists), width, dtype=torch.bool)
    start = 0
    for row, (logits, of_scorers, relevant) in enumerate(lists):
        scores[row, :, : len(logits)] = torch.tensor(of_scorers)
        index[row, : len(logits)] = torch.arange(start, start + len(logits))
        positive[row, : len(logits)] = torch.tensor(relevant)
        start += len(logits)
    logits = torch.tensor([logit for of_list, _, _ in lists for logit in of_list], dtype=torch.float64)
    return logits, {"scores": scores, "index": index, "positive": positive}


def drawn_lists(seed, scorers=3):
    """Some lists, with missing scores, without a positive, or of one candidate."""
    draw = torch.Generator().manual_seed(seed)
    lists = []
    for length in (4, 2, 1, 5):
        scores = (3 * torch.randn(scorers, length, generator=draw)).tolist()
        if length == 5:
            scores[-1][2] = NAN
        relevant = [place == 0 and length != 2 for place in range(length)]
        lists.append((torch.randn(length, generator=draw).tolist(), scores, relevant))
    return lists


def value_of(loss, logits, labels):
    return sum(loss.compute_components_from_logits(logits, labels).values())


@pytest.mark.parametrize("contrastive_weight", [0.0, 0.7])
@pytest.mark.parametrize("scorers", [1, 3])
def test_the_loss_equals_the_reference(model, scorers, contrastive_weight):
    options = {"scale": 1.5, "alpha": 0.3, "contrastive_weight": contrastive_weight}
    loss = ListwiseRerankerLoss(model, teacher_temperature=2.0, **options)
    for seed in range(4):
        lists = drawn_lists(seed, scorers)
        expected = reference.listwise_reranker_loss(lists, temperature=2.0, **options)
        assert value_of(loss, *labels_of(lists)).item() == pytest.approx(expected, rel=1e-5)


def test_a_value_worked_by_hand(model):
    """p = (3/4, 1/4), q = (1/2, 1/2): KL = 3/4 log 3/2 + 1/4 log 1/2; CE of the first against the second = log 2."""
    lists = [([1.0, 1.0], [[math.log(3), 0.0]], [True, False])]
    terms = ListwiseRerankerLoss(model, contrastive_weight=2.0).compute_components_from_logits(*labels_of(lists))
    assert terms["kl_teacher"].item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-6)
    assert terms["contrastive"].item() == pytest.approx(2 * math.log(2), rel=1e-6)


def test_the_other_lists_of_a_batch_are_no_negatives(model):
    """As in a batch of lists for bi-encoders they would be: a cross-encoder has no logit of their pairs."""
    loss = ListwiseRerankerLoss(model, contrastive_weight=1.0)
    lists = drawn_lists(0)
    logits, labels = labels_of(lists)
    logits = logits.clone().requires_grad_()
    value_of(loss, logits, labels).backward()
    alone = []
    for one in (lists[0], lists[3]):
        logit, label = labels_of([one])
        logit.requires_grad_()
        value_of(loss, logit, label).backward()
        alone.append(logit.grad)
    # Three lists count for the divergence, two of them for CE: gradients are not simply halved, but of their own list.
    assert (logits.grad[:4].sign() == alone[0].sign()).all() and (logits.grad[7:].sign() == alone[1].sign()).all()
    assert abs(logits.grad[:4].sum()) < 1e-6 and abs(logits.grad[7:].sum()) < 1e-6


def test_no_gradient_where_the_student_is_its_teacher_or_a_candidate_is_missing(model):
    lists = [([1.0, 2.0, 4.0], [[1.0, 2.0, 4.0]], [True, False, False]), ([5.0, 1.0], [[NAN, 1.0]], [True, False])]
    logits, labels = labels_of(lists)
    logits.requires_grad_()
    value_of(ListwiseRerankerLoss(model), logits, labels).backward()
    assert logits.grad.abs().max() < 1e-7 and (logits.grad[3:] == 0).all()


def test_gradients_are_those_of_the_formula(model):
    logits, labels = labels_of(drawn_lists(2))
    loss = ListwiseRerankerLoss(model, contrastive_weight=0.5)
    assert torch.autograd.gradcheck(lambda given: value_of(loss, given, labels), logits.requires_grad_())


def test_logits_in_bf16_stay_finite(model):
    logits, labels = labels_of(drawn_lists(1))
    assert value_of(ListwiseRerankerLoss(model, contrastive_weight=1.0), 100 * logits.bfloat16(), labels).isfinite()


# --- the two forms of input --------------------------------------------------------------------------------------


def label_list():
    return [torch.tensor(scores) for scores in SCORES]


def tokenised(model, mini=2):
    pairs = [(query, passage) for query, passages in zip(QUERIES, PASSAGES) for passage in passages]
    return [model.preprocess(pairs[start : start + mini]) for start in range(0, len(pairs), mini)]


def test_texts_and_tokenised_pairs_give_the_same_value(model):
    loss = ListwiseRerankerLoss(model, contrastive_weight=0.3)
    _, labels = labels_of(
        [([0.0] * len(scores), [scores], [place == 0 for place in range(len(scores))]) for scores in SCORES]
    )
    value = loss([QUERIES, PASSAGES], label_list())
    assert value.item() == pytest.approx(loss(tokenised(model), labels).item(), rel=1e-5)
    small = ListwiseRerankerLoss(model, contrastive_weight=0.3, mini_batch_size=1)
    assert value.item() == pytest.approx(small([QUERIES, PASSAGES], label_list()).item(), rel=1e-5)


def test_it_differs_from_the_hosts_by_the_entropy_of_the_teacher(model):
    """ListNet's cross entropy is KL and the entropy of its labels, which are the teacher's scores."""
    entropies = [-(one.softmax(0) * one.log_softmax(0)).sum() for one in label_list()]
    host = ListNetLoss(model)([QUERIES, PASSAGES], label_list())
    ours = ListwiseRerankerLoss(model)([QUERIES, PASSAGES], label_list())
    assert ours.item() == pytest.approx((host - sum(entropies) / 2).item(), rel=1e-4)


def test_the_hosts_trainer_takes_it(tmp_path):
    student = tiny_cross_encoder(4)
    teacher = [[[4.0, -1.0, 0.5], [3.0, 0.0, 0.0]], [[2.0, 3.0], [1.0, 0.0]]]
    dataset = Dataset.from_dict({"query": QUERIES * 8, "passages": PASSAGES * 8, "label": teacher * 8})
    loss = ListwiseRerankerLoss(student, contrastive_weight=0.1, return_components=True)
    before = loss([QUERIES, PASSAGES], [torch.tensor(one) for one in teacher])
    arguments = CrossEncoderTrainingArguments(
        str(tmp_path), num_train_epochs=3, per_device_train_batch_size=4, learning_rate=2e-3, use_cpu=True,
        logging_steps=1, report_to="none", disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    trainer = CrossEncoderTrainer(model=student, args=arguments, train_dataset=dataset, loss=loss)
    trainer.train()
    after = loss([QUERIES, PASSAGES], [torch.tensor(one) for one in teacher])
    assert sum(after.values()) < sum(before.values()) and "contrastive" in trainer.state.log_history[0]


def test_labels_that_do_not_fit_the_lists_are_refused(model):
    loss = ListwiseRerankerLoss(model)
    for labels in (None, [torch.tensor([1.0, 2.0])] * 2, torch.zeros(2)):
        with pytest.raises(InputError, match="one score for each passage"):
            loss([QUERIES, PASSAGES], labels)


def test_other_models_and_options_are_refused(model):
    for other, got in (
        (tiny_sentence_transformer(1), "SentenceTransformer"),
        (tiny_cross_encoder(1, num_labels=3), "3"),
    ):
        with pytest.raises(InputError, match=f"one output.*{got}"):
            ListwiseRerankerLoss(other)
    with pytest.raises(InputError, match="mini_batch_size"):
        ListwiseRerankerLoss(model, mini_batch_size=0)
    with pytest.raises(InputError, match="contrastive_weight"):
        ListwiseRerankerLoss(model, contrastive_weight=-1.0)
    with pytest.raises(InputError, match="alpha"):
        ListwiseRerankerLoss(model, alpha=2.0)


def test_a_word_makes_it_for_a_cross_encoder(model):
    loss = find_loss("reverse-kl")(model, None, alpha=0.2, contrastive_weight=0.5, regression_weight=3.0, scale=None)
    assert isinstance(loss, ListwiseRerankerLoss) and loss.alpha == 0.2 and loss.scale == 1.0
    assert loss.get_config_dict()["objective"] == "reverse-kl" and loss.contrastive_weight == 0.5
    loss.alpha = 0.7
    assert loss.lists.alpha == 0.7
    assert isinstance(find_loss("kl")(tiny_sentence_transformer(1), None), ListwiseKLLoss)


def test_the_student_is_no_part_of_the_losses_own_weights(model):
    loss = ListwiseRerankerLoss(model)
    assert own_state(loss) == {}
    loss.extra = nn.Linear(1, 1)
    assert set(own_state(loss)) == {"extra.weight", "extra.bias"}


def test_an_objective_sees_no_other_lists_of_the_batch(model):
    """BCE takes a batch's other documents for irrelevant; of these a cross-encoder has no logit."""
    options = {"objective": "bce", "objective_options": {"bias": 0.0, "labels": "logits"}}
    lists = [one for one in drawn_lists(3, scorers=1) if len(one[0]) == 4 or len(one[0]) == 2]
    together = value_of(ListwiseRerankerLoss(model, **options), *labels_of(lists)).item()
    alone = [value_of(ListwiseRerankerLoss(model, **options), *labels_of([one])).item() for one in lists]
    assert together == pytest.approx(sum(alone) / 2, rel=1e-6)
    loss = ListwiseRerankerLoss(model, **options)
    assert loss.of_teacher_alone and loss.objective == "bce"
    ordered = ListwiseRerankerLoss(model, objective="plackett-luce", query_weights="confidence")
    assert value_of(ordered, *labels_of(lists)).isfinite()
