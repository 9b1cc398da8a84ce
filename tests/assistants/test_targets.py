"""AssistantTargets puts calibration, fusion and selection together, and counts what it chose."""

from __future__ import annotations

import pytest
import torch

from st_mta.assistants.fusion import FUSION_WORDS
from st_mta.assistants.selection import SELECTIONS
from st_mta.assistants.targets import AssistantTargets
from st_mta.distributions import masked_log_softmax
from st_mta.errors import InputError
from tests import reference

NAMES = ("bm25", "minilm")
MEMBERS = ([0], [1], [0, 1])
METRICS = {
    "kl": lambda p, q, mask: reference.kl(p, q),
    "footrule": reference.footrule,
    "rbo": reference.rank_biased_distance,
}


@pytest.fixture
def scores():
    return 4 * torch.randn(7, 3, 6, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def mask():
    mask = torch.rand(7, 6, generator=torch.Generator().manual_seed(4)) > 0.25
    mask[0] = False
    mask[1] = torch.arange(6) == 2
    return mask


@pytest.mark.parametrize("select_per", ["batch", "query"])
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("fusion", FUSION_WORDS)
@pytest.mark.parametrize("calibration", ["temperature", "zscore"])
def test_targets_equal_the_reference(scores, mask, calibration, fusion, selection, select_per):
    temperatures, weights = (2.0, 3.0, 0.5), (0.7, 0.3)
    targets = AssistantTargets(
        NAMES,
        temperatures,
        fusion=fusion,
        selection=selection,
        select_per=select_per,
        calibration=calibration,
        weights=weights if fusion == "weighted" else None,
    )
    log_probs = targets(scores.masked_fill(~mask[:, None], torch.nan), mask)
    assert log_probs.shape == (7, 2, 6)

    fuse = {
        "mean": reference.fuse_mean,
        "rrf": reference.fuse_rrf,
        "weighted": lambda *lists: reference.fuse_weighted(*lists, weights),
    }[fusion]
    distances, teachers, fused = [], [], []
    for of_query, row in zip(scores.tolist(), mask.tolist()):
        if calibration == "zscore":
            of_query = [reference.standardise(scorer, row) for scorer in of_query]
        calibrated = [[score / t for score in scorer] for scorer, t in zip(of_query, temperatures)]
        teachers.append(reference.softmax(calibrated[0], row))
        fused.append([fuse(calibrated[1:], members, row) for members in MEMBERS])
        distances.append([METRICS[selection](teachers[-1], p, row) for p in fused[-1]])
    voters = [d for d, row in zip(distances, mask.tolist()) if sum(row) >= 2]
    means = [sum(column) / len(voters) for column in zip(*voters)]
    for b, row in enumerate(mask.tolist()):
        if sum(row) < 2:
            continue
        of_query = means if select_per == "batch" else distances[b]
        best = min(range(3), key=lambda f: (round(of_query[f], 7), f))
        assert log_probs[b, 0].exp().tolist() == pytest.approx(teachers[b], abs=2e-6)
        assert log_probs[b, 1].exp().tolist() == pytest.approx(fused[b][best], abs=2e-6)


def test_without_assistants_there_is_only_the_teacher(scores, mask):
    targets = AssistantTargets((), (2.0,))
    log_probs = targets(scores[:, :1], mask)
    assert log_probs.shape == (7, 1, 6)
    assert log_probs[3, 0].exp().tolist() == pytest.approx(
        reference.softmax((scores[3, 0] / 2).tolist(), mask[3].tolist())
    )
    assert targets.frequencies() == {}


def test_identical_assistants_select_the_first_plain_one(scores):
    # Their mean is the same distribution up to rounding, which must not win.
    same = scores[:, 1:2].expand(-1, 3, -1)
    targets = AssistantTargets(("a", "b", "c"), (1.0, 2.0, 2.0, 2.0), select_per="query")
    targets(torch.cat([scores[:, :1], same], dim=1), torch.ones(7, 6, dtype=torch.bool))
    assert targets.frequencies() == {"a": 1.0}


def test_an_assistant_equal_to_the_teacher_is_selected(scores, mask):
    scores[:, 2] = scores[:, 0]
    for selection in SELECTIONS:
        targets = AssistantTargets(NAMES, (1.0, 1.0, 1.0), selection=selection)
        log_probs = targets(scores, mask)
        assert targets.frequencies() == {"minilm": 1.0}
        torch.testing.assert_close(log_probs[:, 0], log_probs[:, 1])


def test_frequencies_are_shares_of_the_queries_that_count_since_the_last_call(scores, mask):
    targets = AssistantTargets(NAMES, (1.0, 1.0, 1.0), select_per="query")
    towards = torch.zeros(4, 3, 6)
    towards[:, 0, 0] = 5
    towards[:3, 1, 0], towards[:3, 2, 1] = 5, 5  # three queries on which bm25 agrees with the teacher
    towards[3:, 1, 1], towards[3:, 2, 0] = 5, 5  # and one on which minilm does
    everyone = torch.ones(4, 6, dtype=torch.bool)
    targets(towards, everyone)
    assert targets.frequencies() == {"bm25": 3 / 4, "minilm": 1 / 4}
    everyone[0, 1:] = False  # a list of one counts no more
    targets(towards, everyone)
    targets(towards, everyone)
    assert targets.frequencies() == {"bm25": 2 / 3, "minilm": 1 / 3}
    assert targets.frequencies() == {}


def test_nothing_has_a_gradient(scores, mask):
    assert not AssistantTargets(NAMES, (1.0,) * 3)(scores.requires_grad_(), mask).requires_grad


def test_half_precision_scores_are_computed_in_float32(scores, mask):
    targets = AssistantTargets(NAMES, (3.0, 3.0, 3.0))
    assert torch.equal(targets(scores.bfloat16(), mask), targets(scores.bfloat16().float(), mask))


def test_the_users_own_functions_are_called(scores, mask):
    def second(scores, memberships, mask):
        return scores[:, 1:2].log_softmax(-1).expand(-1, len(memberships), -1)

    def backwards(teacher, fused, mask):
        return -torch.arange(fused.shape[1]).float().expand(fused.shape[:2])

    targets = AssistantTargets(NAMES, (1.0, 1.0, 2.0), fusion=second, selection=backwards)
    log_probs = targets(scores, mask)
    torch.testing.assert_close(log_probs[:, 1], (scores[:, 2] / 2).log_softmax(-1))
    assert targets.frequencies() == {"bm25+minilm": 1.0}
    assert targets.get_config_dict()["fusion"] == "second"


def test_the_users_own_functions_are_found_by_name(scores, mask):
    own = "tests.assistants.own_rules"
    options = {"fusion": f"{own}:first_assistant", "selection": f"{own}:last_wins"}
    targets = AssistantTargets(NAMES, (1.0, 2.0, 1.0), **options)
    log_probs = targets(scores, mask)
    expected = masked_log_softmax(scores[:, 1] / 2, mask)
    torch.testing.assert_close(log_probs[1:, 1], expected[1:])
    assert targets.frequencies() == {"bm25+minilm": 1.0}
    assert {**targets.get_config_dict(), **options} == targets.get_config_dict()


def test_the_options_are_reported():
    weighted = AssistantTargets(NAMES, (1.0,) * 3, fusion="weighted", calibration="affine", weights=[0.25, 0.75])
    assert weighted.get_config_dict() == {
        "assistants": ["bm25", "minilm"],
        "calibration": "affine",
        "temperatures": [1.0, 1.0, 1.0],
        "combinations": "all",
        "select_per": "batch",
        "fusion": "weighted",
        "selection": "kl",
        "weights": [0.25, 0.75],
    }
    assert "weights" not in AssistantTargets(NAMES, (1.0,) * 3).get_config_dict()


def test_affine_divides_as_temperatures_do(scores, mask):
    once, again = (AssistantTargets(NAMES, (2.0, 3.0, 0.5), calibration=word) for word in ("temperature", "affine"))
    assert torch.equal(once(scores, mask), again(scores, mask))


@pytest.mark.parametrize("select_per", ["batch", "query"])
def test_a_metric_may_be_undefined_for_lists_of_fewer_than_two(scores, mask, select_per):
    def second(teacher, fused, mask):
        preference = torch.tensor([3.0, 1.0, 2.0]).expand(fused.shape[:2])
        return torch.where(mask.sum(-1, keepdim=True) >= 2, preference, torch.nan)

    targets = AssistantTargets(NAMES, (1.0, 1.0, 1.0), selection=second, select_per=select_per)
    targets(scores, mask)
    assert targets.frequencies() == {"minilm": 1.0}


def test_combinations_limit_the_pool():
    assert AssistantTargets(NAMES, (1.0,) * 3, combinations="none").members == NAMES


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"fusion": "median"}, "fusion to be one of mean, rrf, weighted"),
        ({"selection": "spearman"}, "selection to be one of kl, footrule, rbo"),
        ({"select_per": "epoch"}, "select_per to be one of batch, query"),
        ({"combinations": "triples"}, "combinations to be one of all, pairs, none"),
        ({"calibration": "minmax"}, "calibration to be one of temperature, zscore, affine"),
        ({"fusion": "weighted"}, "2 weights"),
        ({"fusion": "weighted", "weights": (0.2, 0.3, 0.5)}, "2 weights"),
        ({"weights": (0.5, 0.5)}, "2 weights"),
        ({"fusion": "nowhere_at_all:rule"}, "cannot be imported"),
        ({"temperatures": (1.0, 1.0)}, "3 positive temperatures"),
        ({"temperatures": (1.0, 0.0, 1.0)}, "3 positive temperatures"),
        ({"temperatures": (1.0, float("nan"), 1.0)}, "3 positive temperatures"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        AssistantTargets(**{"names": NAMES, "temperatures": (1.0, 1.0, 1.0), **arguments})


def test_too_many_assistants_are_refused():
    with pytest.raises(InputError, match="combinations='pairs'"):
        AssistantTargets([str(a) for a in range(9)], [1.0] * 10)


def test_the_wrong_number_of_scorers_is_refused(scores, mask):
    with pytest.raises(InputError, match=r"\(7, 2, 6\), got \(7, 3, 6\)"):
        AssistantTargets(("bm25",), (1.0, 1.0))(scores, mask)


def test_functions_that_return_another_shape_are_refused(scores, mask):
    with pytest.raises(InputError, match="the result of fusion"):
        AssistantTargets(NAMES, (1.0,) * 3, fusion=lambda scores, memberships, mask: scores)(scores, mask)
    with pytest.raises(InputError, match="the result of selection"):
        AssistantTargets(NAMES, (1.0,) * 3, selection=lambda teacher, fused, mask: fused)(scores, mask)
