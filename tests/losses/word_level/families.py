"""Tiny backbones of the families of transformers, with random weights, and models of the host around them."""

from __future__ import annotations

import tempfile

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, T5EncoderModel

from tests.tiny import tiny_tokenizer

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "initializer_range": 0.3,
    "max_position_embeddings": 70,
    "pad_token_id": 0,
}
DEBERTA = SIZES | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False}
T5 = {"d_model": 32, "num_layers": 3, "num_heads": 4, "d_kv": 8, "d_ff": 48, "pad_token_id": 0}
DECODER = SIZES | {"num_key_value_heads": 2, "head_dim": 8}
OTHERS = {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
BY_QUERIES = {
    "bert": SIZES,
    "roberta": SIZES,
    "xlm-roberta": SIZES,
    "electra": SIZES | {"embedding_size": 24},
    "albert": SIZES | {"embedding_size": 24},
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48, "initializer_range": 0.3},
    "t5": T5,
    "mt5": T5,
    "modernbert": SIZES | OTHERS | {"local_attention": 4, "global_attn_every_n_layers": 2},
    "llama": DECODER,
    "mistral": DECODER | {"sliding_window": 4},
    "qwen3": DECODER,
    "gemma3_text": DECODER,
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 70, "initializer_range": 0.3} | OTHERS,
}
"""Whose attention is recorded by its parts."""
BY_PROBABILITIES = {
    "deberta": DEBERTA,
    "deberta-v2": DEBERTA | {"share_att_key": True, "position_buckets": 16, "norm_rel_ebd": "layer_norm"},
    "mpnet": SIZES,
    "roformer": SIZES | {"embedding_size": 32},
    "rembert": SIZES | OTHERS,
    "megatron-bert": SIZES,
    "big_bird": SIZES | {"attention_type": "original_full"},
    "xlnet": {"d_model": 32, "n_layer": 3, "n_head": 4, "d_inner": 48, "initializer_range": 0.3},
    "xlm": {"emb_dim": 32, "n_layers": 3, "n_heads": 4, "max_position_embeddings": 70},
    "bloom": {"hidden_size": 32, "n_layer": 3, "n_head": 4, "initializer_range": 0.3},
    "gemma2": DECODER,
}
"""Who shows its outcome alone."""
REFUSED = {
    "longformer": (SIZES | {"attention_window": 4}, "every token of its row"),
    "funnel": (
        {"block_sizes": [1, 1, 1], "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 48}
        | {"architectures": ["FunnelModel"]},
        "every token",
    ),
    "fnet": ({k: v for k, v in SIZES.items() if k != "num_attention_heads"}, "shows none"),
    "squeezebert": (SIZES | {"embedding_size": 32}, "sums to 1"),  # returns logits by that name
}
"""Whose attention is something else, and what the refusal says."""
ALL = BY_QUERIES | BY_PROBABILITIES | {family: sizes for family, (sizes, _) in REFUSED.items()}


def config(family: str, **more: object) -> AutoConfig:
    return AutoConfig.for_model(family, vocab_size=len(tiny_tokenizer()), **{**ALL[family], **more})


def backbone(family: str, **more: object) -> torch.nn.Module:
    """The bare model, as it is used within ``eval()``."""
    make = T5EncoderModel._from_config if family in ("t5", "mt5") else AutoModel.from_config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make(config(family, **more)).eval()


def bi_encoder(family: str, **more: object) -> SentenceTransformer:
    with tempfile.TemporaryDirectory() as folder:
        backbone(family, **more).save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        return SentenceTransformer(modules=[Transformer(folder), Pooling(32, pooling_mode="mean")], device="cpu")


def cross_encoder(family: str, **more: object) -> CrossEncoder:
    with tempfile.TemporaryDirectory() as folder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = config(family, num_labels=1, **more)
            AutoModelForSequenceClassification.from_config(made).save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        return CrossEncoder(folder, device="cpu")
