"""What users give beside the name of a loss: typed by its signature, refused with the names that there are."""

from __future__ import annotations

import pytest

from st_mta.errors import InputError
from st_mta.losses import check_loss, find_loss
from st_mta.losses.loss_options import typed_loss_options
from tests.losses.test_by_name import OWN


def typed(word, /, **given):
    return typed_loss_options(word, find_loss(word).options, given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"word_weight": "0.5"}, {"word_weight": 0.5}),
        ({"word_weight": 1}, {"word_weight": 1.0}),
        ({"word": "attention"}, {"word": ["attention"]}),
        ({"layers": "last"}, {"layers": "last"}),
        ({"layers": [[1, 2], [2, 4]]}, {"layers": [[1, 2], [2, 4]]}),
        ({"num_candidates": None}, {"num_candidates": None}),
        ({"relative_margin": [0, 0.1]}, {"relative_margin": [0.0, 0.1]}),
        ({"word-weight": 2}, {"word_weight": 2.0}),
        ({"normalize": "no"}, {"normalize": False}),
        ({"contrastive_scale": 10}, {"contrastive_scale": 10.0}),
        ({"reader": "A"}, {"reader": "A"}),
    ],
)
def test_values_get_the_types_of_the_loss(given, expected):
    assert typed("multi-level", **given) == expected


@pytest.mark.parametrize(
    ("word", "given", "said"),
    [
        ("multi-level", {"word_wieght": 1}, "absolute_margin, balance_every, .* To do: write 'word_weight' instead"),
        ("multi-level", {"alpha": 1}, "got 'alpha'.*options of the run itself"),
        ("multi-level", {"teacher": "x"}, "got 'teacher'"),
        ("margin-mse", {"layers": "last"}, "no loss_options, since loss 'margin-mse' has none"),
        ("kl", {"layers": "last"}, "loss_options of loss 'kl': contrastive_scale"),
        ("multi-level", {"word_weight": "much"}, "a finite number for word_weight in loss_options, got 'much'"),
        ("attention-mse", {"layers": [["a", 1]]}, "for layers in loss_options"),
    ],
)
def test_what_does_not_fit_is_refused(word, given, said):
    with pytest.raises(InputError, match=said):
        check_loss(word, given)


def test_a_factory_of_ones_own_has_its_keywords_as_options(student):
    assert typed(f"{OWN}:own_factory", another=5) == {"another": 5}
    with pytest.raises(InputError, match="loss_options of loss 'tests.losses.own_losses:own_factory': another"):
        typed(f"{OWN}:own_factory", others=5)
    assert find_loss(f"{OWN}:own_factory").options.keys() == {"another"}


def test_nothing_given_is_nothing_chosen():
    assert typed_loss_options("kl", {}, None) == {}
