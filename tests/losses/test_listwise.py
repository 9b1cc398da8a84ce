"""The listwise KL equals its formula, with masks on both sides, in both input forms."""

from __future__ import annotations

import math

import pytest
import torch
from sentence_transformers.util import cos_sim, dot_score, pairwise_cos_sim

from st_mta.errors import InputError
from st_mta.losses import CachedListwiseKLLoss, ExitsLoss, ListwiseKLLoss, listwise_kl
from tests import reference
from tests.losses.conftest import SIMILARITIES, column_batch, flat_batch, gradcheck
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer


def gradients(value, tensors):
    return torch.autograd.grad(value, tensors, allow_unused=True)


def contrastive_term(student, embeddings, label):
    """The unscaled contrastive term of dot products: the loss with it less the loss without."""
    with_term, without = (
        ListwiseKLLoss(student, similarity_fct=dot_score, contrastive_weight=weight) for weight in (1.0, 0.0)
    )
    values = [loss.compute_loss_from_embeddings(embeddings, label).item() for loss in (with_term, without)]
    return values[0] - values[1]


# --- the function ------------------------------------------------------------------------------------------------


def test_a_target_without_mass_somewhere_is_no_nan():
    student = torch.zeros(1, 2, requires_grad=True)
    target = torch.tensor([[1.0, 0.0]]).log()
    value = listwise_kl(student, target, torch.ones(1, 2, dtype=torch.bool))
    assert value.item() == pytest.approx(math.log(2))
    assert gradients(value.sum(), [student])[0].tolist() == [[pytest.approx(-0.5), pytest.approx(0.5)]]


def test_the_gradient_is_student_minus_target():
    student = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    target = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    (gradient,) = gradients(listwise_kl(student, target, torch.ones(4, 5, dtype=torch.bool)).sum(), [student])
    torch.testing.assert_close(gradient, student.softmax(-1) - target.exp())


# --- the module against the reference ----------------------------------------------------------------------------


@pytest.mark.parametrize(("contrastive_weight", "contrastive_scale"), [(0.0, 1.5), (0.3, 1.5), (0.3, 4.0)])
@pytest.mark.parametrize("scorers", [1, 2, 4])
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_the_loss_equals_the_reference(student, similarity, scorers, contrastive_weight, contrastive_scale):
    function, slow = SIMILARITIES[similarity]
    options = {"scale": 1.5, "alpha": 0.3, "contrastive_weight": contrastive_weight}
    options["contrastive_scale"] = contrastive_scale
    loss = ListwiseKLLoss(student, similarity_fct=function, teacher_temperature=2.0, **options)
    for seed in range(6):
        flat = flat_batch(seed, scorers=scorers)
        expected = reference.listwise_kl_loss(
            *(t.tolist() for t in (flat.queries, flat.documents, flat.scores, flat.index, flat.positive)),
            similarity=slow,
            temperature=2.0,
            **options,
        )
        assert loss.compute_loss_from_embeddings(flat.embeddings, flat.label).item() == pytest.approx(expected)


def test_the_loss_by_hand(student):
    # Similarities (log 3, 0) make the student (3/4, 1/4); the teacher is (9/10, 1/10), its two assistants (1/2, 1/2)
    # and (2/3, 1/3).
    query, positive = torch.tensor([[1.0, 0.0]]), torch.tensor([[math.log(3), 5.0]])
    negative = torch.tensor([[0.0, 7.0]])
    label = torch.tensor([[[math.log(9), 0.0], [0.0, 0.0], [math.log(2), 0.0]]])
    loss = ListwiseKLLoss(student, similarity_fct=dot_score, alpha=0.7, contrastive_weight=0.2)
    teacher = 0.9 * math.log(0.9 / 0.75) + 0.1 * math.log(0.1 / 0.25)
    first = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    second = 2 / 3 * math.log(2 / 3 / 0.75) + 1 / 3 * math.log(1 / 3 / 0.25)
    expected = 0.7 * teacher + 0.3 * (first + second) / 2 + 0.2 * -math.log(3 / 4)
    value = loss.compute_loss_from_embeddings([query, positive, negative], label)
    assert value.item() == pytest.approx(expected)


def test_one_teacher_has_the_whole_weight(student):
    embeddings, label = column_batch(0, scorers=1)
    for alpha in (0.0, 0.5, 1.0):
        loss = ListwiseKLLoss(student, alpha=alpha)
        one = loss.compute_loss_from_embeddings(embeddings, label[:, 0])
        assert one.item() == ListwiseKLLoss(student).compute_loss_from_embeddings(embeddings, label).item() > 0


@pytest.mark.parametrize("contrastive_weight", [0.0, 0.5])
def test_gradcheck(student, contrastive_weight):
    loss = ListwiseKLLoss(student, scale=2.0, contrastive_weight=contrastive_weight)
    flat = flat_batch(3, batch=3, width=4, documents=7, dim=2)
    assert gradcheck(loss, flat.embeddings, flat.label)
    assert gradcheck(loss, *column_batch(3, width=4, dim=2))


# --- properties --------------------------------------------------------------------------------------------------


@pytest.fixture
def loss(student):
    return ListwiseKLLoss(student, scale=3.0, contrastive_weight=0.2)


def test_adding_a_constant_to_a_scorers_row_changes_nothing(loss):
    embeddings, label = column_batch(1)
    shift = torch.randn(4, 2, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    values = [loss.compute_loss_from_embeddings(embeddings, scores).item() for scores in (label, label + 10 * shift)]
    assert values[0] == pytest.approx(values[1])


def test_the_order_of_candidates_does_not_matter(loss):
    flat = flat_batch(1)
    before = loss.compute_loss_from_embeddings(flat.embeddings, flat.label).item()
    order = torch.randperm(6, generator=torch.Generator().manual_seed(2))
    flat.scores, flat.index, flat.positive = flat.scores[..., order], flat.index[:, order], flat.positive[:, order]
    assert loss.compute_loss_from_embeddings(flat.embeddings, flat.label).item() == pytest.approx(before)


def test_the_order_of_documents_does_not_matter(loss):
    flat = flat_batch(1)
    before = loss.compute_loss_from_embeddings(flat.embeddings, flat.label).item()
    order = torch.randperm(len(flat.documents), generator=torch.Generator().manual_seed(2))
    flat.documents = flat.documents[order]
    flat.index = torch.where(flat.index >= 0, order.argsort()[flat.index.clamp(min=0)], -1)
    assert loss.compute_loss_from_embeddings(flat.embeddings, flat.label).item() == pytest.approx(before)


def test_a_student_that_ranks_like_its_teacher_has_no_loss_and_no_gradient(student):
    flat = flat_batch(2, scorers=1)
    loss = ListwiseKLLoss(student, scale=3.0)
    similarities = cos_sim(flat.queries, flat.documents).detach()
    flat.scores = 3.0 * similarities.gather(1, flat.index.clamp(min=0))[:, None] + 4
    value = loss.compute_loss_from_embeddings(flat.embeddings, flat.label)
    assert value.item() == pytest.approx(0, abs=1e-12)
    for gradient in gradients(value, flat.embeddings):
        assert gradient.abs().max() < 1e-12


def test_identical_scorers_are_one_scorer(student):
    embeddings, label = column_batch(1, scorers=1)
    loss = ListwiseKLLoss(student, alpha=0.2)
    one, three = (loss.compute_loss_from_embeddings(embeddings, label.expand(-1, s, -1)).item() for s in (1, 3))
    assert one == pytest.approx(three)


def test_alpha_weighs_the_teacher_against_the_others(student):
    embeddings, label = column_batch(1, scorers=2)
    label[~label.isfinite().all(dim=1, keepdim=True).expand_as(label)] = torch.nan
    values = {
        alpha: ListwiseKLLoss(student, alpha=alpha).compute_loss_from_embeddings(embeddings, label).item()
        for alpha in (0.0, 0.25, 1.0)
    }
    only_teacher = ListwiseKLLoss(student).compute_loss_from_embeddings(embeddings, label[:, 0]).item()
    only_assistant = ListwiseKLLoss(student).compute_loss_from_embeddings(embeddings, label[:, 1]).item()
    assert values[1.0] == pytest.approx(only_teacher) != pytest.approx(only_assistant)
    assert values[0.0] == pytest.approx(only_assistant)
    assert values[0.25] == pytest.approx(0.25 * only_teacher + 0.75 * only_assistant)


def test_ties_between_candidates_are_taught_as_ties(student):
    query = torch.tensor([[1.0, 0.0]])
    same = torch.tensor([[0.6, 0.8]], requires_grad=True)
    loss = ListwiseKLLoss(student, similarity_fct=dot_score)
    assert loss.compute_loss_from_embeddings([query, same, same], torch.tensor([[2.0, 2.0]])).item() == 0


def test_queries_with_fewer_than_two_candidates_do_not_count(student):
    loss = ListwiseKLLoss(student, scale=3.0, contrastive_weight=0.2)
    embeddings, label = column_batch(4)
    keep = torch.tensor([0, 1, 3])  # row 2 is a list of one
    without = [embedding[keep] for embedding in embeddings]
    # The contrastive term of the others may still use its passage, so only the KL is compared.
    loss.contrastive_weight = 0.0
    assert loss.compute_loss_from_embeddings(embeddings, label).item() == pytest.approx(
        loss.compute_loss_from_embeddings(without, label[keep]).item()
    )


@pytest.mark.parametrize("contrastive_weight", [0.0, 0.5])
def test_a_batch_that_teaches_nothing_is_zero_on_the_graph(student, contrastive_weight):
    loss = ListwiseKLLoss(student, contrastive_weight=contrastive_weight)
    embeddings, label = column_batch(0)
    value = loss.compute_loss_from_embeddings(embeddings, torch.full_like(label, torch.nan))
    assert value.item() == 0
    value.backward()
    assert all((embedding.grad == 0).all() for embedding in embeddings)


# --- masks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contrastive_weight", [0.0, 0.5])
def test_masked_candidates_have_exactly_no_gradient(student, contrastive_weight):
    loss = ListwiseKLLoss(student, contrastive_weight=contrastive_weight)
    embeddings, label = column_batch(1)
    loss.compute_loss_from_embeddings(embeddings, label).backward()
    mask = label.isfinite().all(dim=1)
    gradient = torch.stack([embedding.grad for embedding in embeddings[1:]], dim=1)
    assert (gradient[~mask] == 0).all()
    assert (gradient[mask.sum(dim=1) >= 2][mask[mask.sum(dim=1) >= 2]] != 0).any(dim=-1).all()

    flat = flat_batch(1)
    loss.compute_loss_from_embeddings(flat.embeddings, flat.label).backward()
    assert flat.masked().any()
    assert (flat.documents.grad[flat.masked()] == 0).all()


def test_a_masked_candidate_changes_nothing_wherever_it_lies(loss):
    embeddings, label = column_batch(1)
    before = loss.compute_loss_from_embeddings(embeddings, label).item()
    embeddings[2] = torch.where(torch.arange(4)[:, None] == 0, 100 * embeddings[2].roll(1, 0), embeddings[2])
    assert label[0, 0, 1].isnan()
    assert loss.compute_loss_from_embeddings(embeddings, label).item() == before


def test_one_unknown_score_of_one_scorer_masks_the_candidate_for_all(student):
    embeddings, label = column_batch(0, scorers=3)
    loss = ListwiseKLLoss(student)
    label = label.nan_to_num(0.5, 0.5, 0.5)
    values = []
    for scorer in range(3):
        unknown = label.clone()
        unknown[1, scorer, 2] = torch.nan
        values.append(loss.compute_loss_from_embeddings(embeddings, unknown).item())
    assert values[0] == values[1] == values[2] != loss.compute_loss_from_embeddings(embeddings, label).item()


def test_a_filtered_candidate_is_no_negative_for_its_query_though_others_list_it(student):
    # Both queries list documents 0, 1, 2; the teacher filtered document 1 for the first query.
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    documents = torch.tensor([[1.0, 0.2], [0.9, 0.8], [0.1, 1.0]], requires_grad=True)
    scores = torch.tensor([[[5.0, torch.nan, 1.0]], [[1.0, 2.0, 5.0]]])
    positive = torch.tensor([[True, False, False], [False, False, True]])
    label = {"scores": scores, "index": torch.arange(3).expand(2, 3), "positive": positive}
    contrast = contrastive_term(student, [queries, documents], label)
    first = -math.log(math.exp(1.0) / (math.exp(1.0) + math.exp(0.1)))
    second = -math.log(math.exp(1.0) / (math.exp(1.0) + math.exp(0.2) + math.exp(0.8)))
    assert contrast == pytest.approx((first + second) / 2)


# --- the two forms -----------------------------------------------------------------------------------------------


def to_flat(embeddings, label, order):
    """The same batch in the flat form, its documents in another order; every second masked cell becomes padding."""
    batch, width = label.shape[0], label.shape[-1]
    documents = torch.cat(embeddings[1:])[order]
    place = order.argsort()
    index = place[torch.arange(batch)[:, None] + batch * torch.arange(width)]
    masked = ~label.isfinite().all(dim=1)
    index[masked & (torch.arange(width) % 2 == 1)] = -1
    positive = torch.zeros(batch, width, dtype=torch.bool)
    positive[:, 0] = True
    return [embeddings[0], documents], {"scores": label, "index": index, "positive": positive}


@pytest.mark.parametrize("seed", range(3))
def test_both_forms_give_the_same_value_and_gradient(loss, seed):
    embeddings, label = column_batch(seed)
    columns = loss.compute_loss_from_embeddings(embeddings, label)
    order = torch.randperm(4 * 5, generator=torch.Generator().manual_seed(seed))
    flat = loss.compute_loss_from_embeddings(*to_flat(embeddings, label, order))
    assert flat.item() == pytest.approx(columns.item()) != 0
    for one, other in zip(gradients(columns, embeddings), gradients(flat, embeddings)):
        torch.testing.assert_close(one, other)


def test_without_contrastive_term_passages_may_be_shared(student):
    flat = flat_batch(2)
    flat.index = flat.index.clamp(min=0)
    loss = ListwiseKLLoss(student)
    columns = [flat.queries, *flat.documents[flat.index].unbind(dim=1)]
    assert loss.compute_loss_from_embeddings(columns, flat.scores).item() == pytest.approx(
        loss.compute_loss_from_embeddings(flat.embeddings, flat.label).item()
    )


def test_a_shared_passage_is_one_negative_in_the_flat_form(student):
    # Document 1 is listed twice, by both queries, and counts once in each denominator.
    queries, documents = torch.eye(2), torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    label = {
        "scores": torch.zeros(2, 1, 2),
        "index": torch.tensor([[0, 1], [2, 1]]),
        "positive": torch.tensor([[True, False]] * 2),
    }
    expected = -math.log(math.exp(1) / (math.exp(1) + math.exp(0.5) + math.exp(0)))
    assert contrastive_term(student, [queries, documents], label) == pytest.approx(expected)


# --- precision and labels ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_embeddings_are_compared_in_float32(student, dtype):
    loss = ListwiseKLLoss(student, contrastive_weight=0.1)
    flat = flat_batch(0, dim=64, dtype=torch.float32)
    half = [embedding.detach().to(dtype).requires_grad_() for embedding in flat.embeddings]
    value = loss.compute_loss_from_embeddings(half, flat.label)
    assert value.dtype == torch.float32
    assert value.item() == loss.compute_loss_from_embeddings([e.float() for e in half], flat.label).item()
    value.backward()
    assert all(embedding.grad.isfinite().all() for embedding in half)


def test_autocast_does_not_reach_the_similarities(student):
    loss = ListwiseKLLoss(student, contrastive_weight=0.1)
    flat = flat_batch(0, dim=64, dtype=torch.float32)
    expected = loss.compute_loss_from_embeddings(flat.embeddings, flat.label).item()
    with torch.autocast("cpu", torch.bfloat16):
        assert loss.compute_loss_from_embeddings(flat.embeddings, flat.label).item() == expected


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_extreme_logits_stay_finite(student, scale):
    loss = ListwiseKLLoss(student, scale=scale, contrastive_weight=1.0, teacher_temperature=1e-3)
    flat = flat_batch(0, dtype=torch.float32)
    value = loss.compute_loss_from_embeddings(flat.embeddings, flat.label)
    assert value.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients(value, flat.embeddings))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bfloat16])
def test_labels_of_another_type_are_scores(student, dtype):
    embeddings, _ = column_batch(0, dtype=torch.float32)
    label = torch.tensor([[9, 2, -4, 0, 1]] * 4).to(dtype)
    loss = ListwiseKLLoss(student, teacher_temperature=3.0)
    assert torch.equal(
        loss.compute_loss_from_embeddings(embeddings, label),
        loss.compute_loss_from_embeddings(embeddings, label.float()),
    )


def test_labels_made_in_inference_mode_are_accepted(student):
    embeddings, _ = column_batch(0, dtype=torch.float32)
    with torch.inference_mode():
        label = torch.randn(4, 2, 5)
    ListwiseKLLoss(student).compute_loss_from_embeddings(embeddings, label).backward()
    assert embeddings[0].grad.isfinite().all()


# --- options -----------------------------------------------------------------------------------------------------


def test_the_scale_follows_the_models_similarity(student):
    loss = ListwiseKLLoss(student)
    assert (loss.similarity_fct, loss.scale) == (cos_sim, 20.0)
    loss = ListwiseKLLoss(tiny_sentence_transformer(normalize=False, similarity="dot"))
    assert (loss.similarity_fct, loss.scale) == (dot_score, 1.0)
    assert ListwiseKLLoss(student, similarity_fct=dot_score).scale == 1.0
    assert ListwiseKLLoss(student, scale=7.0).scale == 7.0


def test_targets_get_raw_scores_and_the_mask_and_are_imitated(student):
    embeddings, label = column_batch(0)
    seen = {}

    def targets(scores, mask):
        seen["scores"], seen["mask"] = scores, mask
        reverse = (-scores[:, :1]).masked_fill(~mask[:, None], -torch.inf)
        return reverse.log_softmax(-1).nan_to_num(-torch.inf)

    value = ListwiseKLLoss(student, targets=targets, alpha=0.1).compute_loss_from_embeddings(embeddings, label)
    torch.testing.assert_close(seen["scores"], label, equal_nan=True)
    assert torch.equal(seen["mask"], label.isfinite().all(dim=1))
    masked = label.masked_fill(~seen["mask"][:, None], torch.nan)
    expected = ListwiseKLLoss(student).compute_loss_from_embeddings(embeddings, -masked[:, 0])
    assert value.item() == pytest.approx(expected.item())


def test_no_gradient_reaches_what_makes_the_targets(student):
    embeddings, label = column_batch(0)
    temperature = torch.ones((), dtype=torch.float64, requires_grad=True)
    loss = ListwiseKLLoss(
        student, targets=lambda scores, mask: (scores.nan_to_num(0, 0, 0) / temperature).log_softmax(-1)
    )
    assert gradients(loss.compute_loss_from_embeddings(embeddings, label), [temperature]) == (None,)


def test_targets_are_no_submodule(student):
    loss = ListwiseKLLoss(student, targets=torch.nn.Bilinear(2, 2, 2))
    assert list(dict(loss.named_children())) == ["model"]
    assert loss.get_config_dict()["targets"] == "Bilinear"


@pytest.mark.parametrize(
    "options",
    [
        {"scale": 0.0},
        {"scale": math.inf},
        {"teacher_temperature": 0.0},
        {"teacher_temperature": -1.0},
        {"teacher_temperature": math.nan},
        {"alpha": 1.1},
        {"alpha": -0.1},
        {"contrastive_weight": -1.0},
        {"contrastive_weight": math.inf},
        {"regression_weight": -1.0},
    ],
)
def test_arguments_out_of_range_are_refused(student, options):
    ((name, value),) = options.items()
    with pytest.raises(InputError, match=f"Expected {name} .* got {value!r}"):
        ListwiseKLLoss(student, **options)


def test_a_pairwise_similarity_is_refused(student):
    embeddings, label = column_batch(0, batch=4, width=5)
    with pytest.raises(InputError, match="cos_sim or dot_score"):
        ListwiseKLLoss(student, similarity_fct=lambda a, b: pairwise_cos_sim(a, b[: len(a)])) \
            .compute_loss_from_embeddings(embeddings, label)  # fmt: skip


@pytest.mark.parametrize("shape", [(4, 5), (4, 2, 5, 1), (3, 2, 5), (4, 2, 6), (4, 0, 5)])
def test_targets_of_another_shape_are_refused(student, shape):
    embeddings, label = column_batch(0)
    loss = ListwiseKLLoss(student, targets=lambda scores, mask: torch.zeros(shape))
    with pytest.raises(InputError, match=r"\(4, T, 5\)"):
        loss.compute_loss_from_embeddings(embeddings, label)


def test_the_card_gets_arguments_and_citation(student):
    assert ListwiseKLLoss(student, teacher_temperature=2.0).get_config_dict() == {
        "similarity_fct": "cos_sim",
        "scale": 20.0,
        "objective": "kl",
        "teacher_temperature": 2.0,
        "alpha": 0.5,
        "contrastive_weight": 0.0,
        "contrastive_scale": 20.0,
        "regression_weight": 0.0,
    }
    assert "2024.emnlp-main.336" in ListwiseKLLoss(student).citation


@pytest.mark.parametrize(("scale", "words"), [(20.0, "surer"), (0.2, "less sure"), (2.0, None)])
def test_a_student_that_is_much_surer_than_its_teacher_is_named(student, caplog, scale, words):
    """Cosines (1, 0, -1), a teacher of (2, 0, -2): at scale 2 the student equals it."""
    query = torch.tensor([[1.0, 0.0]]).repeat(4, 1)
    documents = [torch.tensor([row]).repeat(4, 1) for row in ([1.0, 0.0], [0.0, 1.0], [-1.0, 0.0])]
    loss, label = ListwiseKLLoss(student, scale=scale), torch.tensor([[2.0, 0.0, -2.0]]).repeat(4, 1)
    for _ in range(2):
        loss.compute_loss_from_embeddings([query, *documents], label)
    said = [record.getMessage() for record in caplog.records if "surer" in record.msg or "less sure" in record.msg]
    assert len(said) == (words is not None)
    assert not said or (f"the student is {words} of" in said[0] and "would be 0.00 at scale=" in said[0])


@pytest.mark.parametrize("batch", [flat_batch, column_batch])
def test_the_highest_score_of_all_is_refused_not_left_out(student, batch):
    """float16 ends at 65504; what it writes as inf is no missing candidate."""
    made = batch(3)
    embeddings, labels = made if isinstance(made, tuple) else (made.embeddings, made.label)
    scores = labels["scores"] if isinstance(labels, dict) else labels
    scores[0, 0, 0] = torch.inf
    with pytest.raises(InputError, match="float32"):
        ListwiseKLLoss(student).compute_loss_from_embeddings(embeddings, labels)


@pytest.mark.parametrize("make", [ListwiseKLLoss, CachedListwiseKLLoss, lambda model: ExitsLoss(model, exits=[1])])
def test_a_cross_encoder_has_a_loss_of_its_own(make):
    with pytest.raises(InputError, match="use ListwiseRerankerLoss"):
        make(tiny_cross_encoder(1))
