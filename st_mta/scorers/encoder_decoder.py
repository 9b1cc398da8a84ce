"""An encoder-decoder as the first module of the host's CrossEncoder: the logits of the decoder's first token."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import InputModule
from sentence_transformers.cross_encoder.modules import LogitScore
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from st_mta.scorers.long_pairs import UNCUT, Pair, fit_pairs
from st_mta.scorers.saved_kind import saved_file
from st_mta.types import IntArray

FILLERS = ("0", "1 2 3 4")
"""Texts that are tokenized differently, so that what prompts end with alike is the prompt's own."""


class EncoderDecoder(InputModule):  # type: ignore[misc]
    """Reads a pair in a prompt and gives the logits of the first token of the answer, as the host's LogitScore reads.

    A pair that is too long loses the end of its document, then that of its query; the prompt's own words stay.

    Args:
        model: A sequence-to-sequence model of transformers.
        tokenizer: Its tokenizer.
        prompt: Text with ``{query}`` and ``{document}``, as of ``RerankingForm``.
        instruction: What stands for ``{instruction}``.
    """

    config_keys = ["prompt", "instruction"]
    config_file_name = "encoder_decoder_config.json"

    def __init__(self, model: Any, tokenizer: Any, prompt: str, instruction: str = "") -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        self.prompt, self.instruction = prompt, instruction

    @classmethod
    def of(cls, path: str, prompt: str, instruction: str = "") -> EncoderDecoder:
        """The model in a folder or of a Hub id."""
        tokenizer = AutoTokenizer.from_pretrained(path)
        return cls(AutoModelForSeq2SeqLM.from_pretrained(path), tokenizer, prompt, instruction)

    @property
    def max_seq_length(self) -> int | None:
        """The longest input in tokens."""
        return int(self.tokenizer.model_max_length)

    @max_seq_length.setter
    def max_seq_length(self, length: int) -> None:
        self.tokenizer.model_max_length = length

    def preprocess(self, inputs: Any, prompt: str | None = None, **_: Any) -> dict[str, Any]:
        """Token ids and mask (B, L) of B pairs.

        Args:
            inputs: Pairs of texts.
            prompt: Instead of the instruction.
        """
        instruction = self.instruction if prompt is None else prompt
        pairs: list[Pair] = [(pair[0], pair[1]) for pair in inputs]
        rows = self._ids(pairs, instruction)
        limit = self.tokenizer.model_max_length
        if any(len(row) > limit for row in rows):
            rows = self._ids(fit_pairs(pairs, partial(self._lengths, instruction), self.tokenizer, limit), instruction)
        if any(len(row) > limit for row in rows):  # the prompt itself is too long
            ending = self._ending(instruction)[-limit:]
            rows = [row if len(row) <= limit else row[: limit - len(ending)] + ending for row in rows]
        return dict(self.tokenizer.pad({"input_ids": rows}, return_tensors="pt"))

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Adds ``causal_logits`` (B, 1, vocabulary)."""
        ids = features["input_ids"]
        start = ids.new_full((len(ids), 1), self.model.config.decoder_start_token_id)
        found = self.model(
            input_ids=ids, attention_mask=features["attention_mask"], decoder_input_ids=start, use_cache=False
        )
        features["causal_logits"] = found.logits
        return features

    def save(self, output_path: str, *_: Any, safe_serialization: bool = True, **__: Any) -> None:
        """Model, tokenizer and prompt."""
        self.model.save_pretrained(output_path)
        self.save_tokenizer(output_path)
        self.save_config(output_path)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **options: Any) -> EncoderDecoder:
        """As it was saved."""
        known = {name: options.get(name) for name in ("token", "cache_folder", "revision", "local_files_only")}
        config = cls.load_config(model_name_or_path, subfolder=subfolder, **known)
        folder = Path(model_name_or_path) / subfolder if subfolder else model_name_or_path
        return cls.of(str(folder), **config)

    def _ids(self, pairs: list[tuple[str, str]], instruction: str) -> list[list[int]]:
        texts = [
            self.prompt.format(query=query, document=document, instruction=instruction, bos="")
            for query, document in pairs
        ]
        return list(self.tokenizer(texts, truncation=True, max_length=UNCUT)["input_ids"]) if texts else []

    def _lengths(self, instruction: str, pairs: list[Pair]) -> IntArray:
        return np.array([len(row) for row in self._ids(pairs, instruction)], dtype=np.int64)

    def _ending(self, instruction: str) -> list[int]:
        """The tokens that every prompt ends with."""
        first, second = self._ids([(filler, filler) for filler in FILLERS], instruction)
        alike = 0
        while alike < min(len(first), len(second)) and first[-alike - 1] == second[-alike - 1]:
            alike += 1
        return first[len(first) - alike :]


def load_encoder_decoder(path: str, device: str | None = None) -> CrossEncoder | None:
    """A cross-encoder that was saved with an [`EncoderDecoder`]; None for any other.

    The host imports no modules of other packages by itself.
    """
    modules = saved_file(path, "modules.json") or []
    if not any(
        module["type"].endswith(f"{EncoderDecoder.__module__}.{EncoderDecoder.__name__}") for module in modules
    ):
        return None
    config = saved_file(path, "config_sentence_transformers.json") or {}
    kept = {name: config.get(name) for name in ("prompts", "default_prompt_name")}
    return CrossEncoder(
        modules=[EncoderDecoder.load(path), LogitScore.load(path, subfolder=modules[1]["path"])], device=device, **kept
    )
