"""Words and "module:function" give rules; anything else is refused with the way out."""

from __future__ import annotations

import pytest
import torch

from st_mta.assistants.fusion import FUSIONS, check_fusion, find_fusion, memberships, weighted_mean
from st_mta.assistants.selection import SELECTIONS, check_selection
from st_mta.errors import InputError
from st_mta.lookup import find_function, word_of
from tests.assistants import own_rules

OWN = "tests.assistants.own_rules"


def find_selection(selection):
    return find_function("selection", selection, SELECTIONS)


def test_words_give_their_rules():
    assert all(find_fusion(word, 2) is rule for word, rule in FUSIONS.items())
    assert all(find_selection(word) is metric for word, metric in SELECTIONS.items())


def test_a_function_is_given_back():
    assert find_fusion(own_rules.first_assistant, 2) is own_rules.first_assistant
    assert find_selection(own_rules.last_wins) is own_rules.last_wins


def test_a_function_is_imported_by_name():
    assert find_fusion(f"{OWN}:first_assistant", 2) is own_rules.first_assistant
    assert find_selection(f"{OWN}:last_wins") is own_rules.last_wins


def test_weights_make_the_weighted_rule():
    scores, mask = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0)), torch.ones(3, 4) > 0
    rule = find_fusion("weighted", 2, [0.9, 0.1])
    assert torch.equal(rule(scores, memberships(2), mask), weighted_mean([0.9, 0.1])(scores, memberships(2), mask))
    find_fusion("weighted", 0, [])


@pytest.mark.parametrize(
    ("fusion", "weights"),
    [("weighted", None), ("weighted", [1.0]), ("mean", [0.5, 0.5]), (own_rules.first_assistant, [0.5, 0.5])],
)
def test_weights_belong_to_the_weighted_rule_alone(fusion, weights):
    with pytest.raises(InputError, match="2 weights .* for fusion 'weighted', and none for any other"):
        find_fusion(fusion, 2, weights)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module_at_all:f", "cannot be imported .*no_such_module_at_all.*PYTHONPATH"),
        (f"{OWN}.deeper:f", "cannot be imported"),
        (f"{OWN}:second_assistant", "own_rules.py has no 'second_assistant'"),
        (f"{OWN}:NOT_CALLABLE", "is a int and cannot be called"),
        (f"{OWN}:", "is no module:function"),
        (":first_assistant", "is no module:function"),
        (".own_rules:first_assistant", "is no module:function"),
        ("C:/rules.py:f", "is no module:function"),
    ],
)
def test_a_name_without_a_function_behind_it_is_refused(name, words):
    for find in (lambda: find_fusion(name, 2), lambda: find_selection(name)):
        with pytest.raises(InputError, match=words):
            find()


@pytest.mark.parametrize("value", ["median", "", None, 3])
def test_unknown_words_are_refused(value):
    for check in (check_fusion, lambda word: find_fusion(word, 2)):
        with pytest.raises(InputError, match="fusion to be one of mean, rrf, weighted or a function"):
            check(value)
    for check in (check_selection, find_selection):
        with pytest.raises(InputError, match="selection to be one of kl, footrule, rbo(, bandit)? or a function"):
            check(value)


@pytest.mark.parametrize("word", ["mean", "rrf", "weighted", "st_mta.assistants.fusion:fuse_rrf"])
def test_a_check_finds_the_rule(word):
    check_fusion(word)


@pytest.mark.parametrize("word", ["not_installed_here:rule", "os:system", "os:getcwd"])
def test_a_check_refuses_what_cannot_be_a_rule_and_calls_nothing(word):
    with pytest.raises(InputError, match="fusion to"):
        check_fusion(word)


def test_options_are_called_by_their_word_or_name():
    assert word_of("mean") == "mean"
    assert word_of(own_rules.last_wins) == "last_wins"
