"""Queries of an encoder-decoder: samples of the very distribution, the same whatever is read beside them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from st_mta.errors import InputError
from st_mta.generators import GenerationOptions, SequenceToSequenceGenerator, load_generator
from st_mta.generators.sequence_to_sequence import GumbelSampling
from st_mta.scorers import ScorerOptions
from st_mta.stores import Store
from st_mta.types import Texts
from tests.tiny import saved, tiny_sentence_transformer, tiny_sequence_to_sequence

CORPUS = Texts([f"p{i}" for i in range(5)], ["cat dog", "the river of the sea", "sun moon", "bread", "a wing in heat"])
ALL = np.arange(5)
SHORT = {"max_new_tokens": 6}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tiny_sequence_to_sequence(tmp_path_factory.mktemp("t5") / "model")


def made_by(path, store, positions=ALL, count=2, seed=1, **generation):
    options = ScorerOptions(Store(store), "fp32", "cpu")
    generator = load_generator(
        path, queries_per_passage=count, seed=seed, generation={**SHORT, **generation}, options=options
    )
    return generator.queries(CORPUS, positions)


def test_a_sample_depends_on_passage_and_seed_alone(path, tmp_path):
    whole = made_by(path, tmp_path / "a", batch_size=5)
    assert [len(queries) for queries in whole] == [2] * 5
    assert len({query for queries in whole for query in queries}) > 5
    pieces = [made_by(path, tmp_path / "b", np.array([one]), batch_size=1)[0] for one in (3, 1)]
    assert pieces == [whole[3], whole[1]]
    assert made_by(path, tmp_path / "b", batch_size=2) == whole
    assert [queries[:2] for queries in made_by(path, tmp_path / "c", count=3)] == whole
    assert made_by(path, tmp_path / "d", seed=2) != whole
    alike = Texts(["a", "b"], ["cat dog", "cat  dog"])  # the same tokens
    first, second = load_generator(
        path, generation=SHORT, options=ScorerOptions(Store(tmp_path / "e"), "fp32", "cpu")
    ).queries(alike, np.arange(2))
    assert first != second


def test_noise_makes_samples_of_the_distribution():
    """The largest of logit + Gumbel noise has the softmax's frequencies, cut to the words that top-p leaves."""
    logits = torch.tensor([[2.0, 1.0, 0.0, -9.0]]).expand(4000, 4)
    sampling = GumbelSampling(
        [[7, row] for row in range(4000)], GenerationOptions(top_k=0, top_p=0.9, temperature=2.0)
    )
    counts = torch.bincount(sampling(torch.zeros(4000, 1), logits).argmax(dim=1), minlength=4) / 4000
    weights = np.exp(np.array([2.0, 1.0, 0.0]) / 2)
    np.testing.assert_allclose(counts, [*(weights / weights.sum()), 0], atol=0.03)
    two = GumbelSampling([[7, 0], [7, 0]], GenerationOptions(top_k=2, top_p=1.0))
    first, second = two(torch.zeros(2, 1), logits[:2]), two(torch.zeros(2, 1), logits[:2])
    assert first.isinf().sum() == 4 and torch.equal(first[0], first[1]) and not torch.equal(first, second)


def test_a_cold_sample_is_the_greedy_one_and_beams_are_the_hosts(path, tmp_path):
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path)
    read = tokenizer(["find: sun moon"], return_tensors="pt", return_token_type_ids=False)
    greedy = tokenizer.batch_decode(model.generate(**read, do_sample=False, **SHORT), skip_special_tokens=True)
    prompt = {"prompt": "find: {passage}"}
    assert made_by(path, tmp_path, np.array([2]), 1, temperature=1e-4, **prompt) == [greedy]
    beams = model.generate(**read, num_beams=3, num_return_sequences=2, **SHORT)
    expected = tokenizer.batch_decode(beams, skip_special_tokens=True)
    assert made_by(path, tmp_path, np.array([2]), 2, beams=3, **prompt) == [expected]


def test_what_it_is_known_by(path, tmp_path):
    def fingerprint(where=path, count=2, seed=1, **generation):
        generation = GenerationOptions.of(generation)
        options = ScorerOptions(Store(tmp_path / "s"), "fp32", "cpu")
        return SequenceToSequenceGenerator(where, count, seed, generation, options).fingerprint

    same = fingerprint()
    assert same == fingerprint(batch_size=3)
    others = [fingerprint(count=3), fingerprint(seed=2), fingerprint(top_k=3), fingerprint(prompt="q: {passage}")]
    others.append(fingerprint(tiny_sequence_to_sequence(tmp_path / "other", seed=1)))
    assert len({same, *others}) == 6 and fingerprint(beams=2) == fingerprint(beams=2, seed=2)


def test_misuse_is_refused(path, tmp_path):
    for given, message in (
        ({"beam": 3}, "beams"),
        ({"top_p": 0.0}, "top_p"),
        ({"prompt": "no place"}, "passage"),
        ({"beams": 1}, "at least 2 beams"),
    ):
        with pytest.raises(InputError, match=message):
            load_generator(path, queries_per_passage=2, generation=given)
    bi_encoder = saved(tiny_sentence_transformer(), tmp_path / "bi")
    for wrong in (str(tmp_path / "nothing"), bi_encoder):
        with pytest.raises(InputError, match="a query generator"):
            load_generator(wrong)
