"""Students of every kind that the host can make, tiny and with random weights."""

from __future__ import annotations

import tempfile

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Module, Router
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Normalize,
    Pooling,
    StaticEmbedding,
    Transformer,
)
from torch import nn
from transformers import BertModel, BertTokenizer, PreTrainedModel, Qwen3Config, Qwen3Model, T5Config, T5EncoderModel

from tests.tiny import tiny_config, tiny_sentence_transformer, tiny_tokenizer

BASES = tempfile.TemporaryDirectory()


def transformer(backbone: PreTrainedModel, **of_tokenizer: object) -> Transformer:
    """A module around a backbone as if both had been loaded from a folder."""
    tokenizer = BertTokenizer(vocab=tiny_tokenizer().get_vocab(), model_max_length=64, **of_tokenizer)
    folder = tempfile.mkdtemp(dir=BASES.name)  # an adapter is saved without its base, which has to stay
    backbone.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Transformer(folder)


def student_of(*modules: nn.Module, **more: object) -> SentenceTransformer:
    return SentenceTransformer(modules=list(modules), device="cpu", **more)


def seeded(make, seed: int = 1):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def bert(seed: int = 1) -> Transformer:
    return transformer(seeded(lambda: BertModel(tiny_config()), seed))


def half() -> Transformer:
    """Weights in bf16, in memory and on disk."""
    return transformer(seeded(lambda: BertModel(tiny_config())).to(torch.bfloat16))


def qwen() -> Transformer:
    """A decoder, with a tokenizer that pads on the left."""
    config = Qwen3Config(
        vocab_size=len(tiny_tokenizer()), hidden_size=32, intermediate_size=64, num_hidden_layers=2, head_dim=16,
        num_attention_heads=2, num_key_value_heads=2, initializer_range=0.3, pad_token_id=0, bos_token_id=2,
        eos_token_id=3,
    )  # fmt: skip
    return transformer(seeded(lambda: Qwen3Model(config)), padding_side="left")


def t5() -> Transformer:
    """An encoder whose words are shared between two names."""
    config = T5Config(
        vocab_size=len(tiny_tokenizer()), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, dropout_rate=0.0
    )
    config.initializer_factor = 3.0
    return transformer(seeded(lambda: T5EncoderModel(config)))


def static() -> StaticEmbedding:
    words = seeded(lambda: torch.randn(len(tiny_tokenizer()), 32))
    return StaticEmbedding(tiny_tokenizer(), embedding_weights=words)


def with_adapter(student: SentenceTransformer, *layers: str, **more: object) -> SentenceTransformer:
    """The student with a LoRA adapter under training; all its own weights are frozen."""
    peft = pytest.importorskip("peft")
    kind = peft.TaskType.FEATURE_EXTRACTION
    config = peft.LoraConfig(task_type=kind, r=4, lora_alpha=8, target_modules=list(layers), **more)
    seeded(lambda: student.add_adapter(config))
    return student


def pooled(mode: str, backbone: Transformer | None = None) -> SentenceTransformer:
    return student_of(backbone or bert(), Pooling(32, pooling_mode=mode), Normalize())


def router(query: list[nn.Module], document: list[nn.Module]) -> SentenceTransformer:
    return student_of(Router.for_query_document(query, document), Normalize())


def two_towers() -> SentenceTransformer:
    return router([bert(1), Pooling(32, "mean")], [bert(5), Pooling(32, "cls")])


def static_queries() -> SentenceTransformer:
    """Queries that need no transformer, before passages of one."""
    return router([static()], [bert(), Pooling(32, "mean")])


def shared_tower() -> SentenceTransformer:
    """One encoder under both roles, each with a layer of its own after it."""
    encoder = bert()
    heads = [seeded(lambda: Dense(32, 32, activation_function=nn.Tanh()), seed) for seed in (2, 3)]
    towers = [[encoder, Pooling(32, "mean"), head] for head in heads]
    return router(*towers)


def frozen_but_one_layer() -> SentenceTransformer:
    student = pooled("mean").requires_grad_(False)
    student[0].auto_model.encoder.layer[1].requires_grad_(True)
    return student


class Scale(Module):
    """A module of the user's own, with a weight and a setting."""

    config_keys = ["power"]

    def __init__(self, power: float = 1.0) -> None:
        super().__init__()
        self.power, self.by = power, nn.Parameter(torch.ones(32))

    def forward(self, features, **_):
        features["sentence_embedding"] = features["sentence_embedding"] * self.by.abs() ** self.power
        return features

    def save(self, output_path, *args, safe_serialization=True, **kwargs):
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)

    @classmethod
    def load(cls, model_name_or_path, subfolder="", **kwargs):
        module = cls(**cls.load_config(model_name_or_path, subfolder=subfolder, **cls._hub(kwargs)))
        return cls.load_torch_weights(model_name_or_path, subfolder=subfolder, model=module, **cls._hub(kwargs))

    @staticmethod
    def _hub(options):
        return {name: options[name] for name in ("token", "cache_folder", "revision") if name in options}


def prompted() -> SentenceTransformer:
    """Two prompts, which pooling leaves out."""
    parts = bert(), Pooling(32, "mean", include_prompt=False), Normalize()
    return student_of(*parts, prompts={"query": "what is ", "document": "this is "})


STUDENTS = {
    **{mode: lambda mode=mode: pooled(mode) for mode in ("cls", "mean", "max", "lasttoken", "weightedmean")},
    "T5": lambda: pooled("mean", t5()),
    "decoder": lambda: pooled("lasttoken", qwen()),
    "decoder with LoRA": lambda: with_adapter(pooled("lasttoken", qwen()), "q_proj", "v_proj"),
    "LoRA": lambda: with_adapter(pooled("mean"), "query", "value"),
    "LoRA and a layer": lambda: with_adapter(pooled("mean"), "query", modules_to_save=["pooler"]),
    "LoRA with dropout": lambda: with_adapter(pooled("mean"), "query", "value", lora_dropout=0.5),
    "LoRA, bf16": lambda: with_adapter(pooled("mean", half()), "query", "value"),
    "Router": two_towers,
    "Router, static queries": static_queries,
    "Router, shared tower": shared_tower,
    "static": lambda: student_of(static()),
    "static and normalised": lambda: student_of(static(), Normalize()),
    "frozen but one layer": frozen_but_one_layer,
    "Dense": lambda: student_of(bert(), Pooling(32, "mean"), seeded(lambda: Dense(32, 32)), Normalize()),
    "bf16": lambda: tiny_sentence_transformer(1).to(torch.bfloat16),
    "own module": lambda: student_of(bert(), Pooling(32, "mean"), Scale(2.0), Normalize()),
    "prompts": prompted,
}
"""Name -> makes one; the same weights each time."""
