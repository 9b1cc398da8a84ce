"""An objective is the host's loss where the host has one."""

from __future__ import annotations

import pytest
import sentence_transformers
import torch
from sentence_transformers.sentence_transformer.losses import MarginMSELoss

from st_mta.losses import ListwiseKLLoss
from st_mta.losses.objectives.chosen import POSITIVE, choose
from tests.losses.conftest import column_batch

LISTS, WIDTH = 5, 6
# Earlier versions need both candidates of a pair to be among the best.
IS_EARLIER = tuple(map(int, sentence_transformers.__version__.split(".")[:2])) < (6, 2)
CUT = pytest.param(2, marks=pytest.mark.skipif(IS_EARLIER, reason="the host cuts pairs otherwise"))


class Scores:
    """A cross-encoder that gives the numbers it is asked about; the host's losses score text by text."""

    num_labels, device = 1, "cpu"

    def __init__(self, logits):
        self.logits = logits

    def preprocess(self, pairs, **_):
        return {"places": torch.tensor([int(document) for _, document in pairs])}

    def __call__(self, tokens):
        return {"scores": self.logits.flatten()[tokens["places"]]}


def host_loss(module, name, logits, labels, **options):
    """The value of a loss of the host for these logits (B, N) and labels (B, N)."""
    module = pytest.importorskip(f"sentence_transformers.cross_encoder.losses.{module}")
    if "weighting_scheme" in options:
        options["weighting_scheme"] = getattr(module, options["weighting_scheme"])()
    loss = getattr(module, name)(Scores(logits), **options)
    documents = [[str(place) for place in row] for row in torch.arange(logits.numel()).reshape(logits.shape).tolist()]
    return loss((["query"] * len(logits), documents), list(labels))


@pytest.fixture
def logits():
    return torch.randn(LISTS, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def target():
    return 2 * torch.randn(LISTS, WIDTH, generator=torch.Generator().manual_seed(1)).log_softmax(dim=-1)


def ours(word, logits, target, **options):
    chosen, mask = choose(word, options), torch.ones(LISTS, WIDTH, dtype=torch.bool)
    return chosen.compute(logits, target, mask, **({POSITIVE: ~mask} if POSITIVE in chosen.asks else {})).mean()


def gains(target):
    """Labels of which the host makes our gains, 2^label - 1."""
    ranks = 1 + target.argsort(dim=-1, descending=True).argsort(dim=-1)
    return (1 + 1 / ranks).log2()


def test_list_mle(logits, target):
    host = host_loss("list_mle", "ListMLELoss", logits, target, respect_input_order=False)
    torch.testing.assert_close(ours("plackett-luce", logits, target), host)


@pytest.mark.parametrize("top", [None, CUT])
def test_ranknet(logits, target, top):
    host = host_loss("rank_net", "RankNetLoss", logits, target, k=top, reduction_log="natural")
    torch.testing.assert_close(ours("ranknet", logits, target, top=top), host)


@pytest.mark.parametrize(
    ("weighting", "scheme", "top"),
    [
        ("lambda-rank", "LambdaRankScheme", None),
        pytest.param("lambda-rank", "LambdaRankScheme", 3, marks=CUT.marks),
        ("ndcg-loss2", "NDCGLoss2Scheme", None),
        ("ndcg-loss2++", "NDCGLoss2PPScheme", None),
    ],
)
def test_lambda(logits, target, weighting, scheme, top):
    options = {"weighting_scheme": scheme, "k": top, "reduction_log": "natural"}
    host = [
        host_loss("lambda_loss", "LambdaLoss", logits[row : row + 1], gains(target)[row : row + 1], **dict(options))
        for row in range(LISTS)
    ]
    found = ours("lambda", logits, target, weighting=weighting, **({} if top is None else {"top": top}))
    torch.testing.assert_close(found, torch.stack(host).mean())


@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_adr_mse_with_ties(logits, target, temperature):
    target[:, 3] = target[:, 1]
    host = host_loss("adr_mse", "ADRMSELoss", logits, target, alpha=1 / temperature)
    torch.testing.assert_close(ours("adr-mse", logits, target, temperature=temperature), host)


def test_margin_mse_on_dot_products_without_temperature(student):
    embeddings, label = column_batch(0, scorers=1)
    label = label.nan_to_num(1.5, 1.5, -1.5)
    own = ListwiseKLLoss(student, similarity_fct=lambda a, b: a @ b.T, scale=1.0, objective="margin-mse")
    host = MarginMSELoss(student).compute_loss_from_embeddings(embeddings, label[:, 0])
    torch.testing.assert_close(own.compute_loss_from_embeddings(embeddings, label), host)
