"""Tiny models built in memory: two BERT layers of width 32 with random weights, ready in well under a second."""

from __future__ import annotations

import string
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling
from transformers import (
    AddedToken,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    T5Config,
    T5ForConditionalGeneration,
)

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


def tiny_sparse_encoder(seed: int = 0, layers: int = 2, dim: int = 32, **more: object) -> SparseEncoder:
    """SPLADE: a head for masked words, and the largest weight of each word; ``more`` goes to ``SparseEncoder``."""
    with tempfile.TemporaryDirectory() as folder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            BertForMaskedLM(tiny_config(layers, dim)).save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        transformer = Transformer(folder, transformer_task="fill-mask")
        return SparseEncoder(modules=[transformer, SpladePooling("max")], device="cpu", **more)


def tiny_language_model(
    folder: Path,
    seed: int = 0,
    layers: int = 2,
    *,
    pad: bool = True,
    words: Sequence[str] = (),
    kind: type = Qwen3ForCausalLM,
) -> str:
    """A bare causal model (Qwen3) in a folder; its tokenizer pads on the right, or not at all."""
    tokenizer = tiny_tokenizer(256)
    if not pad:
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer.backend_tokenizer, unk_token="[UNK]", eos_token="[SEP]", model_max_length=256
        )
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in words])
    config = tiny_qwen3_config(len(tokenizer), layers, num_labels=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kind(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def tiny_qwen3_config(vocabulary: int, layers: int = 2, **more: object) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        intermediate_size=64,
        max_position_embeddings=256,
        initializer_range=0.3,
        **more,
    )


def tiny_language_model_reranker(seed: int = 0, layers: int = 2) -> CrossEncoder:
    """A causal model with a prompt and the host's LogitScore."""
    from st_mta.scorers.language_model import as_cross_encoder

    form = {"prompt": "query: {query} text: {document} is it good?", "true_token": "good", "false_token": "bad"}
    with tempfile.TemporaryDirectory() as folder:
        return as_cross_encoder(tiny_language_model(Path(folder), seed, layers), form, "cpu")


def tiny_decoder_bi_encoder(seed: int = 0, layers: int = 2, **more: object) -> SentenceTransformer:
    """A causal backbone (Qwen3) with last-token pooling, padded on the left as Qwen3-Embedding is."""
    tokenizer = tiny_tokenizer()
    tokenizer.padding_side = "left"
    with tempfile.TemporaryDirectory() as folder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            Qwen3Model(tiny_qwen3_config(len(tokenizer), layers)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        modules = [Transformer(folder), Pooling(32, pooling_mode="lasttoken"), Normalize()]
        return SentenceTransformer(modules=modules, device="cpu", **more)


def tiny_sequence_to_sequence(folder: Path, seed: int = 0, layers: int = 2) -> str:
    """A bare T5 in a folder."""
    tokenizer = tiny_tokenizer(128)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=layers,
        num_heads=2,
        decoder_start_token_id=tokenizer.pad_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dropout_rate=0.0,
        initializer_factor=1.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def saved(model: SentenceTransformer | CrossEncoder | SparseEncoder, folder: Path) -> str:
    """Saves a model and returns its folder as a string, for code that loads by path."""
    model.save_pretrained(str(folder))
    return str(folder)
