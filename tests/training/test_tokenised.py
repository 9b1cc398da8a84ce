"""A text is tokenised once in a training, and its batches are those that the host would make."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding, Transformer
from transformers import BertModel, LlamaConfig, LlamaModel, RobertaConfig, RobertaModel

from st_mta.scored import ScoredCandidates
from st_mta.stores.embeddings import Embeddings
from st_mta.training import tokenised
from st_mta.training.collator import FlatDocumentsCollator, RegressionCollator, listwise_dataset
from st_mta.training.regression import regress_embeddings
from st_mta.training.students import collator_inputs
from st_mta.training.tokenised import TokenisedTexts, same_features
from st_mta.types import Candidates, Texts
from tests.losses.word_level.bpe import bpe_tokenizer
from tests.tiny import WORDS, tiny_config, tiny_sentence_transformer, tiny_tokenizer
from tests.training.toy_run import toy_arguments

SIZES = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
random = np.random.default_rng(0)
CORPUS = Texts.from_dict(
    {f"p{i}": " ".join(random.choice(WORDS, size=size)) for i, size in enumerate([3, 1, 9, 0, 5, 90, 2, 2, 7, 4])}
)
PROMPTS = {"query": "what is ", "documents": "a text: "}


def made(backbone, tokenizer, folder, **options):
    backbone.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return SentenceTransformer(modules=[Transformer(str(folder), **options), Pooling(backbone.config.hidden_size)])


def bert(folder, **options):
    return made(BertModel(tiny_config(1)), tiny_tokenizer(), folder, **options)


def roberta(folder):
    tokenizer = bpe_tokenizer()
    config = RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=80, pad_token_id=1, **SIZES)
    return made(RobertaModel(config), tokenizer, folder)


def decoder(folder, template=None):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    student = made(LlamaModel(LlamaConfig(vocab_size=210, pad_token_id=0, **SIZES)), tokenizer, folder)
    student.tokenizer.padding_side = "left"
    return student


def chat(folder):
    template = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }} {% endfor %}"
    return decoder(folder, template)


def types_of_its_own(folder):
    student = bert(folder)
    preprocess = student[0].preprocess

    def with_types(texts, **options):
        features = preprocess(texts, **options)
        features["token_type_ids"] = (features["input_ids"] % 3) * features["attention_mask"]
        return features

    student[0].preprocess = with_types
    return student


def short(folder):
    student = bert(folder)
    student.max_seq_length = 12
    return student


def routed(folder):
    routes = {"query": list(bert(folder / "q")), "document": list(roberta(folder / "d"))}
    return SentenceTransformer(modules=[Router.for_query_document(routes["query"], routes["document"])])


STUDENTS = [bert, roberta, decoder, chat, types_of_its_own, short, routed]


def by_host(student, column, texts, prompts=None):
    collator = SentenceTransformerDataCollator(
        student.preprocess, **{**collator_inputs(student, None), "prompts": prompts or {}}
    )
    batch = collator([{column: text} for text in texts])
    return {name.removeprefix(f"{column}_"): value for name, value in batch.items()}


def tokenised_texts(student, column="documents", prompts=None, positions=None):
    positions = np.arange(len(CORPUS)) if positions is None else positions
    return TokenisedTexts.of(lambda texts: by_host(student, column, texts, prompts), positions, CORPUS.take)


@pytest.mark.parametrize("prompts", [None, PROMPTS], ids=["plain", "prompts"])
@pytest.mark.parametrize("make", STUDENTS)
def test_batches_are_the_hosts_key_by_key(make, prompts, tmp_path, monkeypatch):
    monkeypatch.setattr(tokenised, "TEXTS_PER_BLOCK", 6)
    monkeypatch.setattr(tokenised, "TEXTS_PER_CALL", 4)
    student = make(tmp_path)
    for column in ("query", "documents"):
        texts = tokenised_texts(student, column, prompts)
        for chosen in ([0, 1, 2], [5], [3, 1], [9, 8, 2, 5, 3, 3], list(range(10))):
            expected = by_host(student, column, CORPUS.take(chosen), prompts)
            found = texts.batch(np.array(chosen))
            assert list(found) == list(expected)
            for name, value in expected.items():
                if isinstance(value, torch.Tensor):
                    assert found[name].dtype == value.dtype and torch.equal(found[name], value), name
                else:
                    assert found[name] == value
            ids, lengths = texts.rows(np.array(chosen))
            assert ids.tolist() == expected["input_ids"][expected["attention_mask"].bool()].tolist()
            assert lengths.tolist() == expected["attention_mask"].sum(1).tolist()


def test_texts_may_be_some_of_many_in_any_order(tmp_path):
    texts = tokenised_texts(bert(tmp_path), positions=np.array([7, 2, 7, 5]))
    assert texts.positions.tolist() == [2, 5, 7] and texts.lengths(np.array([7, 2])).tolist() == [4, 11]


def test_a_text_that_is_not_there_is_an_error(tmp_path):
    texts = tokenised_texts(bert(tmp_path), positions=np.array([2, 5]))
    for position in (1, 3, 9):
        assert not texts.has(np.array([2, position]))
        with pytest.raises(KeyError, match=str(position)):
            texts.batch(np.array([2, position]))


def test_ids_are_all_that_occur_and_the_padding(tmp_path):
    student = decoder(tmp_path)
    chosen = np.array([0, 2])
    expected = by_host(student, "documents", CORPUS.take(chosen))["input_ids"]
    assert tokenised_texts(student, positions=chosen).ids().tolist() == expected.unique().tolist()
    assert tokenised_texts(student, positions=chosen[:1]).ids()[0] == 0  # no padding in a batch of one


@pytest.mark.parametrize(
    "options", [{"text": {"padding": "max_length", "max_length": 20}}, {"text": {"pad_to_multiple_of": 8}}]
)
def test_other_paddings_are_left_to_the_host(options, tmp_path):
    student = bert(tmp_path, processing_kwargs=options)
    assert tokenised_texts(student) is None


def test_what_has_more_than_tokens_is_left_to_the_host(tmp_path):
    static = SentenceTransformer(modules=[StaticEmbedding(tiny_tokenizer().backend_tokenizer, embedding_dim=8)])
    assert tokenised_texts(static) is None
    student = bert(tmp_path)
    preprocess = student[0].preprocess
    for changed in (
        lambda features: {**features, "position_ids": torch.ones_like(features["input_ids"])},
        lambda features: features if len(features["input_ids"]) == 2 else {"input_ids": features["input_ids"]},
    ):
        student[0].preprocess = lambda texts, changed=changed, **more: changed(preprocess(texts, **more))
        assert tokenised_texts(student) is None


def test_tokens_that_change_with_the_batch_are_left_to_the_host(tmp_path):
    student = bert(tmp_path)
    preprocess = student[0].preprocess

    def cut(texts, **options):
        return preprocess([text[: 5 + len(texts)] for text in texts], **options)

    student[0].preprocess = cut
    assert tokenised_texts(student) is None


# In the collators


def flat_collator(student, prompts=None):
    inputs = {**collator_inputs(student, None), "prompts": prompts or {}}
    return FlatDocumentsCollator(student.preprocess, corpus=CORPUS, documents_per_forward=3, **inputs)


QUERIES = Texts.from_dict({"q0": "cat", "q1": "who runs fast", "q2": "water"})
LISTS = Candidates(
    queries=np.array([2, 0, 2]),
    offsets=np.array([0, 3, 6, 9]),
    passages=np.array([0, 3, 1, 5, 2, 8, 0, 3, 1]),
    positive=np.array([True, False, False] * 3),
    source=np.zeros(9, dtype=np.int64),
    sources=("qrels",),
)
ROWS = listwise_dataset(ScoredCandidates(LISTS, np.zeros((2, 9), dtype=np.float32), ("T", "A")), QUERIES)


@pytest.mark.parametrize("make", STUDENTS)
def test_a_batch_of_lists_is_the_hosts(make, tmp_path):
    student = make(tmp_path)
    collator = flat_collator(student, PROMPTS)
    collator.tokenise(ROWS)
    collator.preprocess_fn = None  # from here on nothing is tokenised
    batch = collator(list(ROWS))
    assert same_features(
        {name: batch[f"query_{name}"] for name in by_host(student, "query", ["a"], PROMPTS)},
        by_host(student, "query", QUERIES.take([2, 0, 2]), PROMPTS),
    )
    distinct = np.array([0, 1, 2, 3, 5, 8])
    lengths = by_host(student, "documents", CORPUS.take(distinct), PROMPTS)["attention_mask"].sum(1).numpy()
    ordered = distinct[np.argsort(lengths, kind="stable")]
    for number, positions in enumerate(np.split(ordered, 2)):
        expected = by_host(student, "documents", CORPUS.take(positions), PROMPTS)
        assert same_features({name: batch[f"documents_{number}_{name}"] for name in expected}, expected)
    assert ordered[batch["label"]["index"].numpy()].tolist() == [[0, 3, 1], [5, 2, 8], [0, 3, 1]]


def test_passages_are_sorted_by_tokens():
    student = tiny_sentence_transformer(1)
    corpus = Texts.from_dict({"p0": "mountain function number", "p1": "zzz qqq", "p2": "a"})  # letters are tokens
    collator = FlatDocumentsCollator(student.preprocess, corpus=corpus)
    rows = ROWS.select([0]).map(lambda row: {"passages": [0, 1, 2]})
    assert collator(list(rows))["label"]["index"].tolist() == [[2, 1, 0]]
    collator.tokenise(rows)
    assert collator(list(rows))["label"]["index"].tolist() == [[1, 2, 0]]


def test_copies_are_tokenised_as_the_first_of_them():
    corpus = Texts.from_dict({"p0": "the  cat", "p1": "a dog", "p2": "the cat"})
    collator = FlatDocumentsCollator(tiny_sentence_transformer(1).preprocess, corpus=corpus)
    rows = ROWS.select([0]).map(lambda row: {"passages": [1, 2, 2]})
    collator.tokenise(rows)
    assert collator.tokenised["documents"].positions.tolist() == [0, 1]
    assert len(collator(list(rows))["documents_0_input_ids"]) == 2


def test_other_rows_are_tokenised_anew():
    collator = flat_collator(tiny_sentence_transformer(1))
    for chosen, expected in (([1], [2, 5, 8]), ([1, 1], [2, 5, 8]), ([0, 1], [0, 1, 2, 3, 5, 8])):
        before = collator.tokenised.get("documents")
        collator.tokenise(ROWS.select(chosen))
        assert collator.tokenised["documents"].positions.tolist() == expected
        assert (collator.tokenised["documents"] is before) == (chosen == [1, 1])


def test_token_ids_of_a_training_are_known_or_not():
    student = tiny_sentence_transformer(1)
    collator = flat_collator(student)
    assert collator.token_ids() is None
    collator.tokenise(ROWS)
    batch = collator(list(ROWS))
    seen = torch.cat([value.flatten() for name, value in batch.items() if name.endswith("input_ids")])
    assert collator.token_ids().tolist() == seen.unique().tolist()
    collator.tokenised["query"] = None
    assert collator.token_ids() is None


def test_texts_of_a_warm_up_are_tokenised_once(tmp_path):
    student = tiny_sentence_transformer(1)
    calls = []
    preprocess = student[0].preprocess

    def counted(texts, **options):
        calls.extend(texts)
        return preprocess(texts, **options)

    student[0].preprocess = counted
    rows = np.random.default_rng(1).normal(size=(10, 32)).astype(np.float32)
    stored = Embeddings((rows,), np.zeros(10, dtype=np.int64), np.arange(10))
    arguments = toy_arguments(tmp_path, num_train_epochs=4, save_strategy="no")
    regress_embeddings(
        student,
        {"query": QUERIES, "documents": CORPUS},
        {"query": np.array([0, 2]), "documents": np.arange(10)},
        {"query": stored, "documents": stored},
        arguments,
    )
    assert sum(text == CORPUS["p5"] for text in calls) == 3  # tokenised once, and compared twice with the host's


def test_rows_of_a_regression_are_the_hosts(tmp_path):
    student = roberta(tmp_path)
    stored = Embeddings((np.eye(10, dtype=np.float32),), np.zeros(10, dtype=np.int64), np.arange(10))
    collator = RegressionCollator(student.preprocess, texts={"documents": CORPUS}, targets={"documents": stored})
    collator.tokenise(DatasetDict({"documents": Dataset.from_dict({"position": [2, 5, 7]})}))
    collator.preprocess_fn = None
    batch = collator([{"column": "documents", "position": 7}, {"column": "documents", "position": 5}])
    expected = by_host(student, "documents", CORPUS.take([7, 5]))
    assert same_features({name: batch[f"documents_{name}"] for name in expected}, expected)
    assert batch["label"].argmax(1).tolist() == [7, 5]
