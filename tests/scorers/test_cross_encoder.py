from __future__ import annotations

import numpy as np
import pytest
import torch

from st_mta.errors import InputError
from st_mta.scorers import CrossEncoderScorer
from tests.tiny import WORDS, tiny_cross_encoder


def test_scores_are_the_raw_logits(queries, corpus, pairs):
    model = tiny_cross_encoder()
    texts = list(zip(queries.take(pairs[0]), corpus.take(pairs[1])))
    expected = model.predict(texts, activation_fn=torch.nn.Identity())
    scores = CrossEncoderScorer(model, tokens_per_batch=256, precision="fp32").score(queries, corpus, *pairs)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert scores.min() < 0 or scores.max() > 1  # no sigmoid


def test_an_activation_set_by_the_user_is_switched_off(queries, corpus, pairs):
    plain, squashed = tiny_cross_encoder(), tiny_cross_encoder()
    squashed.activation_fn = torch.nn.Sigmoid()
    np.testing.assert_array_equal(
        CrossEncoderScorer(squashed).score(queries, corpus, *pairs),
        CrossEncoderScorer(plain).score(queries, corpus, *pairs),
    )
    assert isinstance(squashed.activation_fn, torch.nn.Sigmoid)


def test_the_query_comes_first():
    scorer = CrossEncoderScorer(tiny_cross_encoder())
    forwards, backwards = (
        scorer.predict(["cat"], ["the dog eats bread"]),
        scorer.predict(["the dog eats bread"], ["cat"]),
    )
    assert not np.allclose(forwards, backwards)


def test_both_texts_of_a_pair_have_room():
    """A pair may be twice as long as a text, and never longer than the model reads."""
    model = tiny_cross_encoder()
    longest = model.max_seq_length
    lengths = [CrossEncoderScorer(model, max_length=length)._frozen.max_length for length in (5, longest, None)]
    assert lengths == [10, longest, longest]


def test_batches_keep_to_the_budget(queries, corpus, pairs, monkeypatch):
    scorer = CrossEncoderScorer(tiny_cross_encoder(), tokens_per_batch=120)
    model, sizes = scorer._frozen.model, []
    predict = model.predict
    monkeypatch.setattr(
        model, "predict", lambda texts, **options: sizes.append(len(texts)) or predict(texts, **options)
    )
    scorer.predict(queries.take(pairs[0]), corpus.take(pairs[1]))
    assert sum(sizes) == 200
    assert sizes[0] < max(sizes)  # the longest come first, few at a time; the last batch is what is left


def test_a_model_with_several_outputs_is_refused():
    with pytest.raises(InputError, match="3 outputs"):
        CrossEncoderScorer(tiny_cross_encoder(num_labels=3), name="classifier")


@pytest.mark.parametrize("offset", [1, 2, 3, 9])
def test_scores_do_not_depend_on_where_weights_lie_in_memory(offset):
    """Weights of a file lie where the length of its header has put them."""
    texts = [" ".join(WORDS[26 + i : 27 + i + i % 7]) for i in range(40)]
    shifted = tiny_cross_encoder(2)
    expected = CrossEncoderScorer(shifted, precision="fp32", tokens_per_batch=64).predict(texts, texts[::-1])
    for weight in shifted.parameters():
        room = torch.empty(weight.numel() + 32)
        first = -(room.data_ptr() // 4) % 16 + offset
        weight.data = room[first : first + weight.numel()].view(weight.shape).copy_(weight.data)
    lies = [weight.data_ptr() for weight in shifted.parameters()]
    scorer = CrossEncoderScorer(shifted, precision="fp32", tokens_per_batch=64)
    np.testing.assert_array_equal(scorer.predict(texts, texts[::-1]), expected)
    assert [weight.data_ptr() for weight in shifted.parameters()] == lies  # the user's model is left as it was
