"""Tiny models built in memory: two BERT layers of width 32 with random weights, ready in well under a second."""

from __future__ import annotations

import string
import tempfile
from pathlib import Path

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizer

WORDS = (
    "the a an of in on and or is are was to for with by from not it this that what which how why who when where "
    "cat dog bird fish horse tree river lake sea mountain city town house road car train ship plane bread milk "
    "apple water fire wind sun moon star light dark red green blue big small fast slow old new good bad eats "
    "drinks runs swims flies sleeps grows burns shines heart blood brain cell gene protein virus drug disease "
    "wing flow pressure heat speed sound signal wave network memory file list string number function class error"
).split()


def tiny_tokenizer(model_max_length: int = 64) -> BertTokenizer:
    """A WordPiece tokenizer that knows a hundred words and spells all others letter by letter."""
    letters = [*string.ascii_lowercase, *string.digits, *".,;:?!'\"()-/%"]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = dict.fromkeys([*pieces, *WORDS])
    return BertTokenizer(
        vocab={piece: index for index, piece in enumerate(vocabulary)}, model_max_length=model_max_length
    )


def tiny_config(layers: int = 2, dim: int = 32, **more: object) -> BertConfig:
    return BertConfig(
        vocab_size=len(tiny_tokenizer()),
        hidden_size=dim,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * dim,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        # Far wider than BERT's .02, so that random models tell texts apart.
        initializer_range=0.3,
        **more,
    )


def tiny_sentence_transformer(
    seed: int = 0,
    layers: int = 2,
    dim: int = 32,
    *,
    normalize: bool = True,
    similarity: str = "cosine",
    **more: object,
) -> SentenceTransformer:
    """Transformer, mean pooling and (unless ``normalize=False``) a Normalize module, on the CPU.

    ``more`` goes to ``SentenceTransformer`` (``prompts={"query": ...}``).
    """
    with tempfile.TemporaryDirectory() as folder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            BertModel(tiny_config(layers, dim)).save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        modules = [Transformer(folder), Pooling(dim, pooling_mode="mean"), *([Normalize()] if normalize else [])]
        return SentenceTransformer(modules=modules, device="cpu", similarity_fn_name=similarity, **more)


def tiny_cross_encoder(seed: int = 0, layers: int = 2, dim: int = 32, *, num_labels: int = 1) -> CrossEncoder:
    """A cross-encoder with a random head, on the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            BertForSequenceClassification(tiny_config(layers, dim, num_labels=num_labels)).save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        return CrossEncoder(folder, device="cpu")


def saved(model: SentenceTransformer | CrossEncoder, folder: Path) -> str:
    """Saves a model and returns its folder as a string, for code that loads by path."""
    model.save_pretrained(str(folder))
    return str(folder)
