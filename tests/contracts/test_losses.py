"""What every listwise loss promises, whatever it computes: the list is ``st_mta.losses.__all__``."""

from __future__ import annotations

import copy
import inspect
import json

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MarginMSELoss, MatryoshkaLoss

from st_mta import losses
from st_mta.errors import InputError
from st_mta.losses.host import teacher_scores
from tests.losses.conftest import flat_batch
from tests.tiny import tiny_sentence_transformer

EXPORTED = [getattr(losses, name) for name in losses.__all__]
# Losses over token states need a teacher and have no composition by embeddings; see tests/losses/test_word_level.py.
LOSSES = [one for one in EXPORTED if inspect.isclass(one) and hasattr(one, "compute_loss_from_embeddings")]
# These have the teacher's embeddings as label, the others its scores of a list of candidates.
OF_EMBEDDINGS = [losses.EmbeddingDistillationLoss]
OF_LISTS = pytest.mark.parametrize(
    "loss", [one for one in LOSSES if one not in OF_EMBEDDINGS], indirect=True, ids=lambda loss: loss.__name__
)
TEXTS = [["a cat", "a fish"], ["the cat eats", "the fish swims"], ["a red car", "a new train"], ["wind", "fire"]]


@pytest.fixture(scope="module")
def _student():
    return tiny_sentence_transformer(seed=1)


@pytest.fixture
def student(_student):
    return copy.deepcopy(_student)


@pytest.fixture(params=LOSSES, ids=lambda loss: loss.__name__)
def loss(request, student):
    if request.param is losses.HostLoss:
        return losses.HostLoss(student, loss=MarginMSELoss(student), label=teacher_scores)
    if request.param is losses.HeadsLoss:
        return losses.HeadsLoss(student, num_heads=2)
    return request.param(student)


@pytest.fixture
def label(loss):
    if type(loss) in OF_EMBEDDINGS:
        return torch.randn(2, len(TEXTS), 32, generator=torch.Generator().manual_seed(0))
    return torch.tensor([[[4.0, -1.0, 0.0], [3.0, 1.0, -2.0]], [[2.0, 3.0, -4.0], [5.0, 0.0, -1.0]]])


@pytest.fixture
def features(student):
    return [student.preprocess(column) for column in TEXTS]


def test_the_model_comes_first_and_options_are_keywords(loss):
    first, *options = inspect.signature(type(loss)).parameters.values()
    assert first.name == "model" and first.default is inspect.Parameter.empty
    keywords = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    assert all(option.kind in keywords for option in options)


def test_forward_is_one_scalar_that_trains_the_student(loss, features, label):
    value = loss(features, label)
    assert value.shape == () and value.isfinite() and value > 0
    value.backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in loss.model.parameters())


def test_the_flat_form_gives_the_same_value(loss, student, features, label):
    positive = torch.tensor([[True, False, False]] * 2)
    documents = [text for column in TEXTS[1:] for text in column]
    flat = {"scores": label, "index": torch.tensor([[0, 2, 4], [1, 3, 5]]), "positive": positive}
    if type(loss) in OF_EMBEDDINGS:
        flat = {"query_targets": label[:, 0], "document_targets": label[:, 1:].transpose(0, 1).flatten(0, 1)}
    value = loss([features[0], student.preprocess(documents)], flat)
    assert value.item() == pytest.approx(loss(features, label).item(), rel=1e-4)


def test_composition_by_embeddings_gives_the_same_value(loss, student, features, label):
    embeddings = [student(column)["sentence_embedding"] for column in features]
    value = loss.compute_loss_from_embeddings(embeddings, label)
    assert value.item() == pytest.approx(loss(features, label).item(), rel=1e-4)


@OF_LISTS
def test_a_missing_candidate_has_exactly_no_gradient(loss, label):
    label[1, 0, 2] = torch.nan
    generator = torch.Generator().manual_seed(0)
    embeddings = [torch.randn(2, 8, generator=generator).requires_grad_() for _ in range(4)]
    loss.compute_loss_from_embeddings(embeddings, label).backward()
    assert (embeddings[3].grad[1] == 0).all()
    assert (embeddings[3].grad[0] != 0).any()


def test_labels_have_no_gradient(loss, features, label):
    loss(features, label.requires_grad_()).backward()
    assert label.grad is None


def test_a_label_of_another_width_is_refused(loss, features, label):
    got = r"2 dimensions" if type(loss) in OF_EMBEDDINGS else r"\(2, 2, 2\)"
    with pytest.raises(InputError, match=got):
        loss(features, label[..., :2])


@OF_LISTS
def test_an_index_beyond_the_documents_is_refused(loss):
    flat = flat_batch(0)
    flat.index[0, 0] = len(flat.documents)
    with pytest.raises(InputError, match="an index below 14, the number of documents, got 14"):
        loss.compute_loss_from_embeddings(flat.embeddings, flat.label)


def test_it_works_at_every_matryoshka_dimension(loss, student, features, label):
    value = MatryoshkaLoss(student, loss, [32, 16])(features, label)
    assert value.isfinite()
    value.backward()


def test_it_has_no_module_that_the_trainer_would_swap_or_train_by_mistake(loss):
    assert [name for name, module in loss.named_modules() if name.endswith("model") and "." not in name] == ["model"]
    assert len(list(loss.parameters())) >= len(list(loss.model.parameters()))


def test_the_model_card_can_print_it(loss):
    json.dumps(loss.get_config_dict())
    assert loss.citation.startswith("\n@") and loss.citation.endswith("}\n")
    assert loss.citation.count("{") == loss.citation.count("}")
