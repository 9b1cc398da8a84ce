"""A bandit among selection metrics: hand values, a reference in loops, and that its state outlives a kill."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from st_mta.assistants import targets as targets_file
from st_mta.assistants.bandit import Exp3
from st_mta.assistants.selection import SELECTIONS, check_selection
from st_mta.assistants.targets import AssistantTargets
from st_mta.errors import InputError
from st_mta.losses import KeepLossWeights, ListwiseKLLoss, MultiLevelDistillationLoss
from tests import reference
from tests.tiny import tiny_sentence_transformer

NAMES, TEMPERATURES = ("a", "b"), (1.0, 2.0, 0.5)


def test_a_reward_by_hand():
    bandit = Exp3(["x", "y"])
    first = bandit.chosen
    bandit.observe(1.0)
    assert bandit.probabilities == [0.5, 0.5]  # nothing to compare with
    bandit.observe(0.5)  # reward (1 + 1 / 2) / 2 = .75, the logarithm grows by .2 * .75 / (.5 * 2) = .15
    expected = 0.8 / (1 + math.exp(-0.15)) + 0.1
    assert bandit.probabilities[first] == pytest.approx(expected) and sum(bandit.probabilities) == pytest.approx(1)


@pytest.mark.parametrize(("divergence", "reward"), [(0.0, 1.0), (1.0, 0.5), (2.0, 0.0), (9.0, 0.0)])
def test_rewards_lie_between_zero_and_one(divergence, reward):
    bandit = Exp3(["x", "y"])
    first = bandit.chosen
    bandit.observe(1.0)
    bandit.observe(divergence)
    assert bandit.probabilities[first] == pytest.approx(0.8 / (1 + math.exp(-0.2 * reward)) + 0.1)


def test_it_equals_the_reference_in_loops():
    divergences = np.random.default_rng(0).random(60).tolist()
    draws = [np.random.default_rng([7, number]).random() for number in range(60)]
    bandit, choices = Exp3(["x", "y", "z"], seed=7), []
    for divergence in divergences:
        choices.append(bandit.chosen)
        bandit.observe(divergence)
    expected, probabilities = reference.exp3(3, draws, divergences)
    assert choices == expected and set(choices) == {0, 1, 2}
    np.testing.assert_allclose(bandit.probabilities, probabilities, rtol=1e-9)


def test_what_helps_the_student_is_chosen_more_often_and_the_others_now_and_then():
    bandit, before = Exp3(["x", "y", "z"]), None
    choices = []
    for _ in range(400):
        choices.append(bandit.chosen)
        bandit.observe(0.5 if before == 1 else 1.0)
        before = choices[-1]
    assert choices[200:].count(1) > 120 and {0, 2} <= set(choices[200:])
    assert min(bandit.probabilities) >= 0.2 / 3


def test_equal_divergences_and_none_at_all_teach_nothing_wrong():
    bandit = Exp3(["x", "y"])
    for divergence in (0.0, 0.0, math.nan, math.inf, 0.0):
        bandit.observe(divergence)
    assert bandit.probabilities == [0.5, 0.5]


def test_a_choice_depends_on_seed_and_what_was_learned_alone():
    def going_on(bandit, count):
        choices = []
        for number in range(count):
            choices.append((bandit.chosen, bandit.chosen))
            bandit.observe(1 / (1 + number))
        return choices

    whole, first, second = (Exp3(["x", "y", "z"], seed=3) for _ in range(3))
    expected = going_on(whole, 20)
    assert going_on(first, 8) == expected[:8] and all(one == again for one, again in expected)
    second.load(first.state())
    for number in range(8, 20):
        assert second.chosen == expected[number][0]
        second.observe(1 / (1 + number))
    assert second.state() == whole.state()
    assert going_on(Exp3(["x", "y", "z"], seed=4), 20) != expected


@pytest.fixture
def batch():
    scores = 4 * torch.randn(9, 3, 6, generator=torch.Generator().manual_seed(3))
    return scores, torch.ones(9, 6, dtype=torch.bool)


def test_targets_follow_the_chosen_metric_and_change_with_what_is_observed(batch):
    targets = AssistantTargets(NAMES, TEMPERATURES, selection="bandit", select_per="query", seed=5)
    alone = {word: AssistantTargets(NAMES, TEMPERATURES, selection=word, select_per="query") for word in SELECTIONS}
    seen = set()
    for number in range(12):
        word = tuple(SELECTIONS)[targets.bandit.chosen]
        torch.testing.assert_close(targets(*batch), alone[word](*batch))
        seen.add(word)
        targets.observe(torch.tensor(1.0 / (number + 1)))
    assert seen == set(SELECTIONS) and len({str(one(*batch)) for one in alone.values()}) > 1
    assert targets.get_config_dict()["selection"] == "bandit"
    assert alone["kl"].state() == {} and alone["kl"].bandit is None
    alone["kl"].observe(torch.tensor(1.0))


def test_the_mean_over_all_processes_counts(monkeypatch):
    monkeypatch.setattr(targets_file, "num_processes", lambda: 2)
    monkeypatch.setattr(targets_file, "summed", lambda value: value + 5.0)
    targets = AssistantTargets(NAMES, TEMPERATURES, selection="bandit")
    targets.observe(torch.tensor(1.0))
    assert targets.state()["mean"] == 3.0


def test_the_word_is_known_and_others_are_not():
    check_selection("bandit")
    with pytest.raises(InputError, match="kl, footrule, rbo, bandit or a function"):
        check_selection("bandits")


@pytest.mark.parametrize("level", ["listwise", "multi-level"])
def test_what_was_learned_is_kept_with_a_checkpoint(tmp_path, level):
    def made():
        student = tiny_sentence_transformer(seed=1, layers=1)
        targets = AssistantTargets(NAMES, TEMPERATURES, selection="bandit", seed=2)
        loss = ListwiseKLLoss(student, targets=targets)
        return targets, MultiLevelDistillationLoss(student, sentence=loss) if level == "multi-level" else loss

    args = SimpleNamespace(output_dir=str(tmp_path))
    state = SimpleNamespace(is_world_process_zero=True, global_step=4)
    (tmp_path / "checkpoint-4").mkdir()
    (targets, loss), (others, other) = made(), made()
    for divergence in (1.0, 0.7, 0.9, 0.2):
        targets.observe(torch.tensor(divergence))
    KeepLossWeights(loss).on_save(args, state, None)
    KeepLossWeights(other).on_train_begin(args, state, None)
    assert others.state() == targets.state() and len(set(targets.state()["weights"])) > 1


def test_an_evaluation_of_the_loss_teaches_nothing():
    student = tiny_sentence_transformer(seed=1, layers=1)
    targets = AssistantTargets((), (1.0,), selection="bandit")
    loss = ListwiseKLLoss(student, targets=targets)
    columns = [dict(student.preprocess(texts)) for texts in (["a cat"], ["the cat eats"], ["a bird flies"])]
    with torch.no_grad():
        loss(columns, torch.tensor([[2.0, 1.0]]))
    assert targets.state()["round"] == 0
    loss(columns, torch.tensor([[2.0, 1.0]]))
    assert targets.state()["round"] == 1 and targets.state()["mean"] > 0
