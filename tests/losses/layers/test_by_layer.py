"""What a model answers at an earlier layer is what its first layers alone answer, whatever the family."""

from __future__ import annotations

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import Dense, Pooling, StaticEmbedding
from torch.nn.functional import cosine_similarity

from st_mta.backbones.layers import first_layers
from st_mta.errors import InputError
from st_mta.losses.layers.by_layer import LayerOutputs
from st_mta.training.students import prune_layers
from tests.losses.word_level.families import bi_encoder, cross_encoder
from tests.tiny import tiny_cross_encoder, tiny_decoder_bi_encoder, tiny_sentence_transformer, tiny_tokenizer

TEXTS = ["a cat eats", "the wind blows over the sea"]
PAIRS = (["a cat eats", "the wind"], ["the bird", "a ship in the sea"])


def embedded(model, layers):
    outputs = LayerOutputs(model)
    with torch.no_grad():
        return outputs(model, layers, lambda each: each(dict(model.preprocess(TEXTS)))["sentence_embedding"])


def test_it_is_the_pruned_model_with_all_modules_behind_the_backbone():
    student = tiny_sentence_transformer(3, layers=4)
    torch.manual_seed(0)
    student.insert(2, Dense(32, 24))
    found = embedded(student.eval(), [1, 3])
    assert list(found) == [4, 1, 3]
    for layers, expected in ((3, prune_layers(tiny_copy(student), [0, 1, 2])), (4, student)):
        torch.testing.assert_close(found[layers], expected.encode(TEXTS, convert_to_tensor=True), atol=1e-6, rtol=0)
    assert cosine_similarity(found[1], found[4]).max() < 0.999


def tiny_copy(student):
    copy = tiny_sentence_transformer(3, layers=4)
    copy.insert(2, Dense(32, 24))
    copy.load_state_dict(student.state_dict())
    return copy


# With a norm behind the last layer, or none; relative positions in the first layer; layers that differ by their place.
@pytest.mark.parametrize("family", ["modernbert", "qwen3", "t5", "mpnet", "deberta-v2", "gemma3_text"])
def test_families(family):
    student = bi_encoder(family)
    found = embedded(student.eval(), [1, 2])
    for layers in (1, 2):
        with first_layers(student.transformers_model, layers), torch.no_grad():
            expected = student(dict(student.preprocess(TEXTS)))["sentence_embedding"]
        torch.testing.assert_close(found[layers], expected, atol=1e-6, rtol=0)
    again = student(dict(student.preprocess(TEXTS)))["sentence_embedding"]
    torch.testing.assert_close(found[3], again, atol=1e-6, rtol=0)


@pytest.mark.parametrize("make", [tiny_cross_encoder, lambda **_: cross_encoder("modernbert")], ids=["bert", "other"])
def test_a_cross_encoders_head_reads_the_states_of_a_layer(make):
    teacher = make(layers=3).eval()
    outputs = LayerOutputs(teacher)
    given = teacher.tokenizer(*PAIRS, padding=True, return_tensors="pt")
    with torch.no_grad():
        found = outputs(teacher, [1, 2], lambda each: each(dict(given))["scores"])
        for layers in (1, 2):
            with first_layers(teacher.transformers_model, layers):
                expected = teacher(dict(given))["scores"]
            torch.testing.assert_close(found[layers], expected, atol=1e-6, rtol=0)
    assert (found[1] - found[3]).abs().max() > 1e-3


def test_the_layers_run_once_and_the_model_is_as_it_was():
    student = tiny_sentence_transformer(1, layers=3)
    calls = []
    for layer in student.transformers_model.encoder.layer:
        layer.register_forward_hook(lambda *_: calls.append(1))
    outputs = LayerOutputs(student.train())
    calls.clear()
    outputs(student, [1, 2], lambda each: each(dict(student.preprocess(TEXTS))))
    assert len(calls) == 3
    assert student.training and "forward" not in vars(student.transformers_model)
    assert student.transformers_model.config.num_hidden_layers == 3 and outputs.last == 3


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: bi_encoder("albert"), "AlbertModel"),
        (lambda: SentenceTransformer(modules=[StaticEmbedding(tiny_tokenizer(), embedding_dim=8)]), "StaticEmb"),
        (lambda: routed(), "with a Router"),
        (lambda: bi_encoder("funnel"), "Funnel"),
    ],
    ids=["shared layers", "no layers", "router", "pooled tokens"],
)
def test_what_has_no_smaller_model_in_it_is_refused(make, told):
    with pytest.raises(InputError, match=told):
        LayerOutputs(make())


def routed():
    students = [tiny_sentence_transformer(seed) for seed in (1, 2)]
    return SentenceTransformer(modules=[Router.for_query_document(list(students[0]), list(students[1]))], device="cpu")


def test_a_decoder_that_is_padded_on_the_left():
    student = tiny_decoder_bi_encoder(layers=3).eval()
    found = embedded(student, [2])
    expected = prune_layers(tiny_decoder_bi_encoder(layers=3), [0, 1]).encode(TEXTS, convert_to_tensor=True)
    torch.testing.assert_close(found[2], expected, atol=1e-6, rtol=0)


def test_pooling_is_the_models_own():
    cls = tiny_sentence_transformer(1)
    cls[1] = Pooling(32, pooling_mode="cls")
    assert (embedded(cls.eval(), [1])[1] - embedded(tiny_sentence_transformer(1).eval(), [1])[1]).abs().max() > 1e-3
