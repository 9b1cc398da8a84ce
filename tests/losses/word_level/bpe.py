"""A tiny cross-encoder that reads byte-level BPE, cased: no token, length or special token as in tests/tiny.py."""

from __future__ import annotations

import tempfile

import torch
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForSequenceClassification

from tests.tiny import WORDS

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def bpe_tokenizer(model_max_length: int = 64) -> PreTrainedTokenizerFast:
    """Merges learned on half of the known words, so that some words are one token and others several."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([" ".join(WORDS[::2])] * 3, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=model_max_length,
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
    )


def bpe_cross_encoder(seed: int = 0, layers: int = 3, dim: int = 48) -> CrossEncoder:
    """RoBERTa with three heads and a random head, on the CPU."""
    tokenizer = bpe_tokenizer()
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=dim,
        num_hidden_layers=layers,
        num_attention_heads=3,
        intermediate_size=dim,
        max_position_embeddings=80,
        pad_token_id=1,
        num_labels=1,
        initializer_range=0.3,
    )
    with tempfile.TemporaryDirectory() as folder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            RobertaForSequenceClassification(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return CrossEncoder(folder, device="cpu")
