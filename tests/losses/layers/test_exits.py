"""Exits: the sum of their losses, led from above; each of them the pruned student."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import CoSENTLoss, MarginMSELoss, MatryoshkaLoss
from sentence_transformers.util import cos_sim, dot_score

from st_mta.errors import InputError
from st_mta.losses import (
    AttentionMSELoss,
    CachedFilteredContrastiveLoss,
    ExitsLoss,
    FilteredContrastiveLoss,
    HostLoss,
    KeepLossWeights,
    ListwiseKLLoss,
)
from st_mta.losses.host import teacher_scores
from st_mta.losses.loss_weights import own_state
from st_mta.losses.word_level.loss import reads_layers
from st_mta.training.students import prune_layers
from tests import reference
from tests.losses.conftest import LABEL, features_of, flat_batch, stock_trainer
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer


@pytest.fixture(scope="module")
def _deep():
    return tiny_sentence_transformer(seed=1, layers=4)


@pytest.fixture
def student(_deep):
    return copy.deepcopy(_deep)


def batches(seed, count=3):
    """One label, and other embeddings for every exit."""
    flats = [flat_batch(10 * seed + n) for n in range(count)]
    return dict(zip((1, 3, 4), [flat.embeddings for flat in flats])), flats[0]


def test_it_is_the_formula(student):
    for seed in range(4):
        embeddings, flat = batches(seed)
        options = {"scale": 1.5, "alpha": 0.3, "contrastive_weight": 0.2, "contrastive_scale": 3.0}
        inner = ListwiseKLLoss(student, similarity_fct=cos_sim, teacher_temperature=2.0, **options)
        loss = ExitsLoss(student, loss=inner, exits=[3, 1], guidance=0.7)
        given = [side.tolist() for side in (flat.scores, flat.index, flat.positive)]
        sides = [[side.tolist() for side in pair] for pair in embeddings.values()]
        values = [
            reference.listwise_kl_loss(*pair, *given, similarity=reference.cosine, temperature=2.0, **options)
            for pair in sides
        ]
        masks = ((flat.index >= 0) & flat.scores.isfinite().all(dim=1)).tolist()
        logits = [
            [
                [1.5 * reference.cosine(query, documents[max(i, 0)]) for i in row]
                for query, row in zip(queries, flat.index.tolist())
            ]
            for queries, documents in sides
        ]
        expected = reference.exits_loss(values, logits, masks, [1 / 4, 3 / 4], 0.7)
        assert loss.compute_loss_from_exits(embeddings, flat.label).item() == pytest.approx(expected)


def test_by_hand(student):
    """Two candidates. The student is even after one layer, 3 to 1 after all; so is the teacher."""
    inner = ListwiseKLLoss(student, similarity_fct=dot_score)
    loss = ExitsLoss(student, loss=inner, exits=[1], weights=[0.5], guidance=2.0)
    queries, one = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    embeddings = {1: [queries, one, one], 4: [queries, one + math.log(3), one]}
    value = loss.compute_loss_from_exits(embeddings, torch.tensor([[math.log(3), 0.0]], dtype=torch.float64))
    divergence = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert value.item() == pytest.approx(0.5 * (divergence + 2 * divergence))


def test_a_smaller_exit_is_led_and_the_larger_one_is_not(student):
    embeddings, flat = batches(0)
    loss = ExitsLoss(student, loss=ListwiseKLLoss(student, similarity_fct=dot_score), exits=[1, 3])
    small, middle, last = (embeddings[layer] for layer in (1, 3, 4))
    guidance = loss._guide(embeddings, flat.label)
    slopes = torch.autograd.grad(guidance, [small[0], middle[0], last[0]], allow_unused=True)
    assert slopes[0].abs().max() > 1e-3 and slopes[1].abs().max() > 1e-3 and slopes[2] is None
    same = {layer: last for layer in (1, 3, 4)}
    nothing = loss._guide(same, flat.label)
    assert nothing.item() == 0 and torch.autograd.grad(nothing, last[0])[0].abs().max() < 1e-12


def test_gradcheck_and_masks(student):
    embeddings, flat = batches(2)
    inner = ListwiseKLLoss(student, similarity_fct=dot_score, contrastive_weight=0.3)
    loss = ExitsLoss(student, loss=inner, exits=[1, 3])
    leaves = [side for pair in embeddings.values() for side in pair]

    def value(*sides):
        return loss.compute_loss_from_exits(dict(zip((1, 3, 4), [sides[:2], sides[2:4], sides[4:]])), flat.label)

    # What leads is held, so that the difference of the whole is not its gradient: one exit at a time.
    assert torch.autograd.gradcheck(lambda small: value(small, *leaves[1:]), leaves[:1])
    value(*leaves).backward()
    for documents in leaves[1::2]:
        assert (documents.grad[flat.masked()] == 0).all() and documents.grad.abs().max() > 0


def test_without_guidance_and_with_a_single_weight_it_is_the_sum(student):
    embeddings, flat = batches(1)
    inner = ListwiseKLLoss(student, similarity_fct=dot_score)
    loss = ExitsLoss(student, loss=inner, exits=[1, 3], weights="uniform", guidance=0.0)
    parts = [inner.compute_loss_from_embeddings(pair, flat.label) for pair in embeddings.values()]
    assert loss.compute_loss_from_exits(embeddings, flat.label).item() == pytest.approx(sum(parts).item())


def test_every_exit_of_a_trained_student_is_the_pruned_one(student, tmp_path):
    inner = ListwiseKLLoss(student, contrastive_weight=0.1, return_components=True)
    loss, label = ExitsLoss(student, loss=inner, exits=[1, 3]), torch.tensor(LABEL)
    trainer = stock_trainer(student, loss, tmp_path, max_steps=4, callbacks=[KeepLossWeights(loss)])
    trainer.train()
    first, *_, last = (entry for entry in trainer.state.log_history if "loss" in entry)
    assert {"kl_teacher", "contrastive", "exit_1", "exit_3", "guidance"} <= first.keys()
    assert all(last[name] < first[name] for name in ("kl_teacher", "exit_1", "exit_3"))
    alone = [prune_layers(copy.deepcopy(student), range(layers)) for layers in (1, 3)] + [student]
    values = [ListwiseKLLoss(one, contrastive_weight=0.1)(features_of(one), label) for one in alone]
    terms = ExitsLoss(student, loss=inner, exits=[1, 3], weights="uniform", guidance=0.0)(features_of(student), label)
    assert terms["exit_1"].item() == pytest.approx(values[0].item(), abs=1e-6)
    assert terms["exit_3"].item() == pytest.approx(values[1].item(), abs=1e-6)
    whole = terms["kl_teacher"] + terms["contrastive"]
    assert whole.item() == pytest.approx(values[2].item(), abs=1e-6)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
def test_it_trains_in_bf16_and_with_checkpointing(student, tmp_path):
    before = {name: weight.clone() for name, weight in student.state_dict().items()}
    loss = ExitsLoss(student, exits=[1])
    stock_trainer(student, loss, tmp_path, max_steps=1, bf16=True, gradient_checkpointing=True).train()
    assert all(not torch.equal(before[name], weight) for name, weight in student.named_parameters() if "query" in name)
    assert own_state(loss) == {}  # nothing that a training killed and resumed could lose


@pytest.mark.parametrize(
    "make",
    [
        lambda student: FilteredContrastiveLoss(student),
        lambda student: HostLoss(student, loss=MarginMSELoss(student), label=teacher_scores),
    ],
    ids=["filtered", "host"],
)
def test_any_loss_over_lists(student, make):
    value = ExitsLoss(student, loss=make(student), exits=[2])(features_of(student), torch.tensor(LABEL))
    plain = make(student)(features_of(student), torch.tensor(LABEL))
    assert value.item() > plain.item() > 0


def test_a_schedule_of_alpha_reaches_the_loss(student):
    loss = ExitsLoss(student, exits=[1])
    loss.alpha = 0.125
    assert loss.alpha == loss.loss.alpha == 0.125
    assert not hasattr(ExitsLoss(student, loss=FilteredContrastiveLoss(student), exits=[1]), "alpha")


def test_the_model_card_can_print_it(student):
    loss = ExitsLoss(student, exits=[1, 3])
    described = json.loads(json.dumps(loss.get_config_dict()))
    assert described["exits"] == [1, 3] and described["weights"] == [0.25, 0.75] and described["alpha"] == 0.5
    assert "mose" in loss.citation and "mta4dpr" in loss.citation
    assert reads_layers(loss) and not reads_layers(loss.loss)
    assert [name for name, _ in loss.named_parameters()] == [f"model.{name}" for name, _ in student.named_parameters()]


@pytest.mark.parametrize("exits", [[], [0], [4], [1, 1], ["1"]], ids=str)
def test_exits_that_are_none_are_refused(student, exits):
    with pytest.raises(InputError, match="exits after 1 to 3 of the student's 4 layers"):
        ExitsLoss(student, exits=exits)


@pytest.mark.parametrize("options", [{"weights": "width"}, {"weights": [1.0]}, {"weights": [1, -1]}, {"guidance": -1}])
def test_weights_out_of_range_are_refused(student, options):
    with pytest.raises(InputError, match="weights 'depth'|guidance"):
        ExitsLoss(student, exits=[1, 2], **options)


def test_losses_that_need_more_than_embeddings_are_refused(student):
    teacher, other = tiny_cross_encoder(seed=3), tiny_sentence_transformer(seed=5)
    for inner, told in (
        (AttentionMSELoss(student, teacher=teacher), "reads layers itself"),
        (CachedFilteredContrastiveLoss(student), "which is cached"),
        (ExitsLoss(student, exits=[1]), "reads layers itself"),
        (ListwiseKLLoss(other), "ListwiseKLLoss"),
        (torch.nn.Identity(), "Identity"),
    ):
        with pytest.raises(InputError, match=told):
            ExitsLoss(student, loss=inner, exits=[1])


def test_dimensions_go_inside(student):
    loss = MatryoshkaLoss(student, ExitsLoss(student, exits=[1]), [32, 16])
    with pytest.raises(InputError, match="MatryoshkaLoss"):
        loss(features_of(student), torch.tensor(LABEL))


def test_without_lists_guidance_says_what_it_needs(student):
    pairs = [student.preprocess(["a cat", "a dog"]), student.preprocess(["the cat eats", "a red car"])]
    loss = ExitsLoss(student, loss=CoSENTLoss(student), exits=[1], guidance=0.0)
    assert loss(pairs, torch.tensor([1.0, 0.0])).item() > 0


def test_whole_batches_are_read_by_the_exits_too(student):
    """The label of a stock trainer, and the flat form of it, which has no scores of lists."""
    texts = [["cat", "dog", "fish tree"], ["a cat", "a dog", "river"], ["sea", "road car", "lake"]]
    teacher = torch.randn(3, 3, 8, generator=torch.Generator().manual_seed(0))
    flat = {
        "teacher_queries": teacher[:, 0],
        "teacher_documents": teacher[:, 1:].transpose(0, 1).flatten(0, 1),
        "index": torch.arange(3)[:, None] + 3 * torch.arange(2),
        "positive": torch.tensor([[True, False]] * 3),
    }
    loss = ExitsLoss(student, loss=ListwiseKLLoss(student, candidates="in-batch"), exits=[1])
    first, second = (loss([student.preprocess(column) for column in texts], label) for label in (teacher, flat))
    assert first.item() == pytest.approx(second.item()) and first.item() > 0
