"""Tiny backbones of several families, with random weights wide enough that tokens look at each other."""

from __future__ import annotations

import tempfile

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from tests.tiny import tiny_tokenizer

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "initializer_range": 0.3,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
FAMILIES = {
    "bert": SIZES,
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 64, "dropout": 0.0, "attention_dropout": 0.0}
    | {"initializer_range": 0.3},
    "mpnet": SIZES,
    "roberta": SIZES | {"pad_token_id": 0},
    "modernbert": SIZES | SPECIAL | {"local_attention": 8, "global_attn_every_n_layers": 2},
    "qwen3": SIZES | {"num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0},
    "mistral": SIZES | {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 5, "pad_token_id": 0},
}
"""Families that are packed; two of them see a window, two are decoders."""
TEXTS = ["a cat", "the dog eats bread in the big red house", "", "water", "a bird", "signal wave network memory " * 3]
PAIRS = [(one, other) for one in TEXTS[:2] for other in TEXTS[:4]]


def config(family: str, **more: object) -> AutoConfig:
    tokenizer = tiny_tokenizer()
    return AutoConfig.for_model(
        family, vocab_size=len(tokenizer), max_position_embeddings=70, **{**FAMILIES.get(family, SIZES), **more}
    )


def bi_encoder(family: str, pooling: str = "mean", **more: object) -> SentenceTransformer:
    """A transformer of this family, pooling, and vectors of length one."""
    with tempfile.TemporaryDirectory() as folder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            AutoModel.from_config(config(family, **more)).save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        return SentenceTransformer(
            modules=[Transformer(folder), Pooling(32, pooling_mode=pooling), Normalize()], device="cpu"
        )


def cross_encoder(family: str) -> CrossEncoder:
    """The same with a head for one score."""
    with tempfile.TemporaryDirectory() as folder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = config(family, num_labels=1)
            AutoModelForSequenceClassification.from_config(made).save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        return CrossEncoder(folder, device="cpu")
