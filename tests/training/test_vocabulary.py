"""Students with fewer tokens: texts are read as before, others without new unknown words, and all of it is saved."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import BertModel, PreTrainedTokenizerFast, RobertaConfig, RobertaModel

from st_mta.collections import from_dictionaries
from st_mta.errors import InputError
from st_mta.stores import fingerprint_model
from st_mta.training.students import prune_layers
from st_mta.training.tokenizer_json import cut, ids_to_keep
from st_mta.training.vocabulary import prune_vocabulary
from tests.tiny import WORDS, tiny_config, tiny_sentence_transformer
from tests.training.student_kinds import (
    STUDENTS,
    pooled,
    qwen,
    seeded,
    static,
    student_of,
    t5,
    transformer,
    two_towers,
)

TEXTS = ["the cat eats bread", "a dog runs; the cat sleeps", "fish-tree! light 42", ""]
OTHERS = ["mountain rivers", "zebra xylophone"]
CORPUS = [" ".join(WORDS[start : start + 5]) for start in range(100)] * 3
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def trained(kind: str) -> Tokenizer:
    """A tokenizer of this kind, made from a hundred words."""
    if kind == "WordPiece":
        tokenizer, trainer = Tokenizer(models.WordPiece(unk_token="[UNK]")), trainers.WordPieceTrainer
    elif kind == "Unigram":
        tokenizer, trainer = Tokenizer(models.Unigram()), trainers.UnigramTrainer
    else:
        tokenizer, trainer = Tokenizer(models.BPE(unk_token="[UNK]")), trainers.BpeTrainer
    more = {"unk_token": "[UNK]"} if kind == "Unigram" else {}
    if kind == "byte-level BPE":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        more = {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet()}
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace() if kind == "Unigram" else pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(CORPUS, trainer(vocab_size=320, special_tokens=SPECIAL, show_progress=False, **more))
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)]
    )  # fmt: skip
    return tokenizer


KINDS = ["WordPiece", "BPE", "byte-level BPE", "Unigram"]


def smaller(tokenizer: Tokenizer, texts: list[str], share: float = 0.0) -> tuple[Tokenizer, np.ndarray]:
    description = json.loads(tokenizer.to_str())
    used = {one for text in texts for one in tokenizer.encode(text).ids}
    ids = ids_to_keep(description, used, share)
    return Tokenizer.from_str(json.dumps(cut(description, ids))), ids


@pytest.mark.parametrize("kind", KINDS)
def test_a_smaller_tokenizer_reads_its_texts_as_before(kind):
    whole = trained(kind)
    less, ids = smaller(whole, TEXTS)
    assert less.get_vocab_size() == len(ids) < 0.9 * whole.get_vocab_size()
    for text in TEXTS:
        assert less.encode(text).tokens == whole.encode(text).tokens
        assert ids[less.encode(text).ids].tolist() == whole.encode(text).ids


@pytest.mark.parametrize("kind", KINDS)
def test_other_texts_are_spelt_and_no_more_of_them_is_unknown(kind):
    whole = trained(kind)
    less, ids = smaller(whole, TEXTS[:1])
    longer = 0
    for text in CORPUS[:100]:
        before, after = whole.encode(text), less.encode(text)
        assert after.tokens.count("[UNK]") == before.tokens.count("[UNK]") == 0
        assert set(ids[after.ids]) <= set(whole.get_vocab().values())
        longer += len(after) > len(before)
    assert longer > 50


def test_merges_stay_that_the_kept_tokens_are_made_of():
    description = {
        "added_tokens": [], "post_processor": None,
        "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate("a b c d ab cd abcd bc".split())},
                  "merges": [["a", "b"], "c d", ["ab", "cd"], ["b", "c"]]},
    }  # fmt: skip
    ids = ids_to_keep(description, {6}, 0.0)
    assert ids.tolist() == [0, 1, 2, 3, 4, 5, 6]  # all but "bc", of which "abcd" is not made
    assert cut(description, ids)["model"]["merges"] == [["a", "b"], "c d", ["ab", "cd"]]


def test_a_share_of_the_vocabulary_stays_without_places_kept_free():
    pieces = ["[PAD]", "[unused0]", "a", "##a", "aaa", "aaaa"]
    description = {"added_tokens": [], "model": {"type": "WordPiece", "continuing_subword_prefix": "##",
                                                 "vocab": {piece: i for i, piece in enumerate(pieces)}}}  # fmt: skip
    assert ids_to_keep(description, {0}, 0.8).tolist() == [0, 2, 3, 4]
    assert ids_to_keep(description, {0}, 1.0).tolist() == [0, 2, 3, 4, 5]


def test_pieces_that_single_characters_cannot_spell_stay():
    pieces = ["[UNK]", "a", "##a", "ab", "##ba", "aa"]
    description = {"added_tokens": [], "model": {"type": "WordPiece", "continuing_subword_prefix": "##",
                                                 "vocab": {piece: i for i, piece in enumerate(pieces)}}}  # fmt: skip
    assert ids_to_keep(description, {0}, 0.0).tolist() == [0, 1, 2, 3, 4]  # there is no "##b"


def test_the_least_likely_piece_rates_what_is_unknown():
    vocab = [["<unk>", 0.0], ["a", -1.0], ["b", -1.5], ["ab", -2.0], ["aba", -9.0]]
    description = {"added_tokens": [], "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab}}
    assert ids_to_keep(description, {1}, 0.0).tolist() == [0, 1, 2, 4]
    assert cut(description, np.array([0, 1, 2, 4]))["model"]["unk_id"] == 0


def roberta():
    """Positions of RoBERTa are counted from the padding's id, which is not 0."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    special = {"pad_token_id": 3, "bos_token_id": 2, "eos_token_id": 3, "max_position_embeddings": 70}
    backbone = seeded(lambda: RobertaModel(RobertaConfig(vocab_size=320, initializer_range=0.3, **sizes, **special)))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained("byte-level BPE"), pad_token="[SEP]", unk_token="[UNK]", model_max_length=64
    )
    made = transformer(backbone)
    made.processor = tokenizer
    return made


STUDENTS_TO_CUT = {
    "BERT": lambda: tiny_sentence_transformer(1),
    "RoBERTa": lambda: pooled("mean", roberta()),
    "T5": lambda: pooled("mean", t5()),
    "decoder": lambda: pooled("lasttoken", qwen()),
    "static": lambda: student_of(static()),
    "Router": two_towers,
    "prompts": STUDENTS["prompts"],
    "frozen": lambda: tiny_sentence_transformer(1).requires_grad_(False),
}


@pytest.mark.parametrize("kind", STUDENTS_TO_CUT)
def test_embeddings_of_the_texts_stay_and_survive_saving(kind, tmp_path):
    whole, student = STUDENTS_TO_CUT[kind](), STUDENTS_TO_CUT[kind]()
    pruned = prune_vocabulary(student, TEXTS, keep_general=0.0)
    assert pruned is student and size(student) < size(whole)
    student.save_pretrained(str(tmp_path))
    loaded = SentenceTransformer(str(tmp_path), device="cpu")
    for encode in ("encode_query", "encode_document"):
        expected = getattr(whole, encode)(TEXTS, convert_to_tensor=True)
        for model in (student, loaded):
            assert torch.equal(getattr(model, encode)(TEXTS, convert_to_tensor=True), expected)
            assert np.isfinite(getattr(model, encode)(OTHERS)).all()
    grads = [weight.requires_grad for weight in whole.parameters()]
    assert [weight.requires_grad for weight in student.parameters()] == grads
    assert fingerprint_model(loaded) == fingerprint_model(student) != fingerprint_model(whole)


def size(model):
    return sum(weight.numel() for weight in model.parameters())


def test_the_configuration_says_how_many_and_which_tokens_are_left():
    student = prune_vocabulary(pooled("lasttoken", qwen()), TEXTS, keep_general=0.0)
    backbone, tokenizer = student[0].model, student.tokenizer
    words = backbone.get_input_embeddings()
    assert backbone.config.vocab_size == words.num_embeddings == len(words.weight) == len(tokenizer)
    assert (words.padding_idx, backbone.config.pad_token_id, tokenizer.pad_token_id) == (0, 0, 0)
    assert tokenizer.padding_side == "left" and student.max_seq_length == 64
    assert [backbone.config.bos_token_id, backbone.config.eos_token_id] == tokenizer.convert_tokens_to_ids(
        ["[CLS]", "[SEP]"]
    )


def test_special_ids_move_with_their_tokens():
    """As in BERT's own vocabulary, where places kept free stand before the special tokens."""
    pieces = ["[unused0]", "[unused1]", "[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abc", "##a", "##b", "##c", "abc", "cab"]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 5), ("[CLS]", 4))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    part = transformer(seeded(lambda: BertModel(tiny_config(pad_token_id=2))))
    part.processor = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **names)
    student = pooled("mean", part)
    before = student.encode(["abc", "abc a b c"], convert_to_tensor=True)
    prune_vocabulary(student, ["abc", "abc a b c"], keep_general=0.0)
    assert student[0].model.config.pad_token_id == student.tokenizer.pad_token_id == 0
    assert student.tokenizer("abc")["input_ids"] == [2, 10, 3] and len(student.tokenizer) == 11
    assert torch.equal(student.encode(["abc", "abc a b c"], convert_to_tensor=True), before)


def test_queries_of_the_test_split_are_not_read():
    queries = {"a": "cat", "b": "dog", "c": "bird", "d": "horse"}
    qrels = {"train": {"a": {"p": 1}}, "dev": {"b": {"p": 1}}, "test": {"c": {"p": 1}}}
    collection = from_dictionaries("few", {"p": "fish"}, queries, qrels)
    left = set(prune_vocabulary(tiny_sentence_transformer(1), collection, keep_general=0.0).tokenizer.get_vocab())
    assert {"fish", "cat", "dog"} <= left and "bird" not in left


def test_what_is_kept_besides():
    student = prune_vocabulary(tiny_sentence_transformer(1), ["cat"], prompts=["which dog "], keep_general=0.0)
    assert {"cat", "dog", "which"} <= set(student.tokenizer.get_vocab())
    assert "bird" not in student.tokenizer.get_vocab()
    whole = prune_vocabulary(tiny_sentence_transformer(1), ["cat"], keep_general=1.0)
    assert size(whole) == size(tiny_sentence_transformer(1))


def test_layers_and_vocabulary_are_pruned_in_either_order():
    def both(first, second):
        return second(first(tiny_sentence_transformer(1, layers=3)))

    def layers(model):
        return prune_layers(model, [0, 2])

    def words(model):
        return prune_vocabulary(model, TEXTS)

    one, other = both(layers, words), both(words, layers)
    assert fingerprint_model(one) == fingerprint_model(other)


def test_what_cannot_be_cut_is_refused_and_left_as_it_was():
    adapted = STUDENTS["LoRA"]()
    with pytest.raises(InputError, match="adapters.*prune the vocabulary first"):
        prune_vocabulary(adapted, TEXTS)
    with pytest.raises(InputError, match="between 0 and 1"):
        prune_vocabulary(tiny_sentence_transformer(1), TEXTS, keep_general=2)
    student = tiny_sentence_transformer(1)
    student[0].model.register_parameter(
        "bias_by_token", torch.nn.Parameter(torch.zeros(student[0].model.config.vocab_size))
    )
    with pytest.raises(InputError, match="bias_by_token"):
        prune_vocabulary(student, TEXTS)


def test_a_student_that_would_change_is_put_back(monkeypatch):
    student = tiny_sentence_transformer(1)
    before = fingerprint_model(student)
    monkeypatch.setattr("st_mta.training.vocabulary.is_same_when_saved", lambda _: False)
    with pytest.raises(InputError, match="other embeddings"):
        prune_vocabulary(student, TEXTS)
    assert fingerprint_model(student) == before


def test_a_token_without_a_word_vector_is_refused():
    student = tiny_sentence_transformer(1)
    student.tokenizer.add_tokens(["quagga"])
    with pytest.raises(InputError, match="word vector for every token.*204"):
        prune_vocabulary(student, TEXTS)


def test_backbones_that_share_one_table_are_refused():
    student = two_towers()
    query, document = (module for module in student.modules() if isinstance(module, Transformer))
    document.model.set_input_embeddings(query.model.get_input_embeddings())
    with pytest.raises(InputError, match="share one table"):
        prune_vocabulary(student, TEXTS)
    assert document.model.get_input_embeddings() is query.model.get_input_embeddings()


@pytest.mark.parametrize(
    ("texts", "got"), [(None, "None"), (3, "3"), (["a", 2], "2 as text 1"), ([None], "None as text 0")]
)
def test_other_things_than_texts_are_refused(texts, got):
    with pytest.raises(InputError, match=f"texts, or a collection, got {got}"):
        prune_vocabulary(tiny_sentence_transformer(1), texts)
    if texts is not None:
        with pytest.raises(InputError, match=f"prompts as texts, got {got}"):
            prune_vocabulary(tiny_sentence_transformer(1), TEXTS, prompts=texts)


@pytest.mark.parametrize("share", [None, "half", float("nan"), True])
def test_a_share_is_a_number(share):
    with pytest.raises(InputError, match="between 0 and 1"):
        prune_vocabulary(tiny_sentence_transformer(1), TEXTS, keep_general=share)
