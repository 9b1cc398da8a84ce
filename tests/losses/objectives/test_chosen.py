"""How an objective is named, given options and asked for: words, functions, classes; what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from st_mta.errors import InputError
from st_mta.losses import LOSSES, ListwiseKLLoss, check_loss, find_loss
from st_mta.losses.by_name import check_objective
from st_mta.losses.objectives.chosen import choose
from tests.losses.conftest import flat_batch

HERE = "tests.losses.objectives.test_chosen"


def asking(student_logits, target_log_probs, mask, *, positive, power: float = 2.0):
    return (torch.where(mask & positive, student_logits, 0.0).abs() ** power).sum(-1)


class Learning(nn.Module):
    def __init__(self, *, start: float = 2.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(start))

    def forward(self, student_logits, target_log_probs, mask, *, scores):
        return self.weight * torch.where(mask, student_logits - scores, 0.0).square().sum(-1)


def value_of(loss):
    flat = flat_batch(0)
    return loss.compute_loss_from_embeddings(flat.embeddings, flat.label)


def test_options_reach_the_objective_from_all_doors(student):
    options = {"order": "positives-first", "top": "2"}  # as a command line gives them
    loss = ListwiseKLLoss(student, objective="plackett_luce", objective_options=options)
    assert loss.objective == "plackett-luce" and loss.objective_options == {"order": "positives-first", "top": 2}
    config = loss.get_config_dict()
    assert (config["objective"], config["objective_options"]) == ("plackett-luce", loss.objective_options)
    for word, chosen in (("plackett-luce", {}), ("kl", {"objective": "plackett-luce"})):
        same = find_loss(word)(student, None, objective_options=options, **chosen)
        assert value_of(same).item() == value_of(loss).item() != value_of(find_loss(word)(student, None)).item()


def test_a_function_of_ones_own_asks_for_positives_and_has_options(student):
    by_name = ListwiseKLLoss(student, objective=f"{HERE}:asking", objective_options={"power": 1})
    by_hand = ListwiseKLLoss(student, objective=asking)
    assert 0 < value_of(by_name).item() != value_of(by_hand).item() > 0
    assert list(by_name._components(flat_batch(0).embeddings, flat_batch(0).label))[0] == "asking_teacher"


def test_a_class_of_ones_own_learns(student):
    loss = ListwiseKLLoss(student, objective=f"{HERE}:Learning", objective_options={"start": 3.0}, alpha=0.1)
    value_of(loss).backward()
    assert loss.learned_objective.weight.item() == 3 and loss.learned_objective.weight.grad > 0
    assert sum(weight is loss.learned_objective.weight for weight in loss.parameters()) == 1


def test_the_former_name_of_the_argument(student):
    former, now = (ListwiseKLLoss(student, **{name: "reverse-kl"}) for name in ("divergence", "objective"))
    assert value_of(former).item() == value_of(now).item() and former.objective == "reverse-kl"
    with pytest.raises(InputError, match="objective='kl' and divergence='js'"):
        ListwiseKLLoss(student, objective="kl", divergence="js")


@pytest.mark.parametrize(
    ("word", "options", "said"),
    [
        ("plackett-luce", {"tops": 3}, "objective_options of objective 'plackett-luce': hardest.*write 'top' instead"),
        ("plackett-luce", {"top": "some"}, "a whole number for top in objective_options, got 'some'"),
        ("plackett-luce", {"top": 0}, "top to be at least 1"),
        ("plackett-luce", {"order": "mine"}, "order to be one of teacher, positives-first, negatives, given"),
        ("plackett-luce", {"least": 2}, "least to be between 0 and 1"),
        ("ranknet", {"preferences": "firm"}, "preferences to be one of hard, soft"),
        ("lambda", {"gains": "grades"}, "gains to be one of reciprocal-rank, probability"),
        ("lambda", {"mu": -1}, "mu to be at least 0"),
        ("adr-mse", {"temperature": 0}, "temperature to be positive"),
        ("bce", {"scale": -1}, "scale to be positive"),
        ("bce", {"labels": "stars"}, "labels to be one of auto, logits, probabilities"),
        ("kl", {"top": 3}, "no objective_options, since objective 'kl' has none"),
    ],
)
def test_options_that_mean_nothing_are_refused_before_any_batch(word, options, said):
    with pytest.raises(InputError, match=said):
        choose(word, options)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("mnrl", "js"), "compares lists by an objective, for objective='js', got loss 'mnrl'"),
        (("margin-mse", None, {"top": 1}), "for objective_options=.*got loss 'margin-mse'"),
        (("attention-mse", None, None, "error"), "for query_weights='error'"),
        (("reverse-kl", "js"), "one objective, such as that of loss 'reverse-kl', got objective 'js'"),
        (("kl", "nothing"), "objective to be one of kl, reverse-kl"),
        (("multi-level", None, {"top": 1}), "objective 'kl' has none"),
        (("kl", None, None, "mine"), "query_weights to be one of uniform, confidence, error or a function"),
    ],
)
def test_what_a_loss_cannot_compare_by_is_refused_early(given, said):
    with pytest.raises(InputError, match=said):
        check_objective(*given)


@pytest.mark.parametrize("word", ["kl", "margin-mse", asking, "bce", "lambda", "pearson"])
def test_probabilities_are_too_narrow_for_those_that_look_at_their_distances(student, caplog, word):
    flat = flat_batch(0)
    flat.scores = flat.scores.sigmoid()
    ListwiseKLLoss(student, objective=word).compute_loss_from_embeddings(flat.embeddings, flat.label)
    warned = any("the student learns next to nothing" in record.getMessage() for record in caplog.records)
    assert warned == (word in ("kl", "margin-mse", asking))


@pytest.mark.parametrize("given", [("kl", "bce"), ("multi_level", "lambda", {"top": 3}), ("js", "js", None, "error")])
def test_what_a_loss_can_compare_by_is_taken(given):
    check_objective(*given)
    check_loss(given[0])
    assert "js" in LOSSES


def test_multi_level_compares_sentences_by_it(student):
    from tests.tiny import tiny_cross_encoder

    options = {"teacher": tiny_cross_encoder(seed=3), "objective": "plackett-luce", "objective_options": {"top": 1}}
    loss = find_loss("multi-level")(student, None, query_weights="confidence", **options)
    assert loss.sentence.objective == "plackett-luce" and loss.sentence.objective_options == {"top": 1}
    assert loss.get_config_dict()["sentence"]["query_weights"] == "confidence"
