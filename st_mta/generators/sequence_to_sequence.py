"""Queries by a sequence-to-sequence model, such as docTTTTTquery's, sampled from a seed or searched by beams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers.util import get_device_name
from torch import Tensor, nn
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.modeling_outputs import BaseModelOutput

from st_mta.checked import Checked
from st_mta.errors import InputError, loading
from st_mta.generators.base import StoringGenerator
from st_mta.lookup import check_names
from st_mta.options import option
from st_mta.precision import precision_name, resolve_precision
from st_mta.ranges import POSITIVE, Range, count_from
from st_mta.scorers.options import ScorerOptions
from st_mta.scorers.saved_kind import configuration
from st_mta.scorers.weights import whole_weights
from st_mta.stores import Store, fingerprint_model, fingerprint_values
from st_mta.stores.keys import keys_of_texts

PLACE = "{passage}"


@dataclass(frozen=True, kw_only=True)
class GenerationOptions(Checked):
    """How a model generates; the defaults are those of the query generators of BEIR and GPL.

    GPL (Wang et al. 2022, section 3) samples three queries of a passage, by top-k of 25 and top-p of 0.95.
    """

    prompt: str = option(PLACE, help="What the model reads, with {passage} in it.")
    beams: int = option(0, within=count_from(0), help="Beams to search with; 0 samples.")
    temperature: float = option(1.0, within=POSITIVE, help="Of the words' distribution when sampling.")
    top_k: int = option(25, within=count_from(0), help="Sample from so many most probable words; 0 from all.")
    top_p: float = option(0.95, within=Range(0, 1, without=(0,)), help="And from those that together have this share.")
    max_new_tokens: int = option(64, within=count_from(1), help="Longest query in tokens.")
    max_length: int = option(350, within=count_from(1), help="Longest passage in tokens, its prompt included.")
    batch_size: int = option(16, within=count_from(1), help="Passages at once.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompt.count(PLACE) != 1:
            raise InputError(
                expected=f"a prompt with one {PLACE}", got=repr(self.prompt), remedy=f"write where {PLACE} belongs"
            )

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> GenerationOptions:
        """From what a user gives; raises ``InputError`` for an unknown name or a value that does not fit."""
        named = {str(name).replace("-", "_"): value for name, value in (given or {}).items()}
        check_names("query_generator", named, cls.__dataclass_fields__)
        return cls(**named)


class SequenceToSequenceGenerator(StoringGenerator):
    """Queries of a passage by an encoder-decoder of transformers.

    A sampled query depends on the model, the passage, its number and the seed alone, not on what is read beside it or
    was generated before: each has its own stream of random numbers, which are added to the logits as Gumbel noise;
    the largest sum is then a sample of the distribution.

    Args:
        path: A folder or Hub id.
        queries_per_passage: How many.
        seed: Of the sampling; no part of a search by beams.
        generation: How it generates.
        options: Store, precision and device.
        name: For reports; the Hub id or the name of the folder by default.

    Raises:
        InputError: If no such model can be loaded, or there are fewer beams than queries.
    """

    def __init__(
        self,
        path: str,
        queries_per_passage: int = 3,
        seed: int = 42,
        generation: GenerationOptions | None = None,
        options: ScorerOptions | None = None,
        name: str | None = None,
    ) -> None:
        options = options or ScorerOptions()
        self.name = name or (Path(path).name if Path(path).is_dir() else path)
        self.count, self.seed = queries_per_passage, seed
        self.generation = generation or GenerationOptions()
        self.part_size = self.generation.batch_size
        _refuse_few_beams(self.generation.beams, queries_per_passage)
        self.store = options.store if options.store is not None else Store()
        self.device = torch.device(options.device or get_device_name())
        self.dtype = resolve_precision(options.precision, self.device)
        self.network = _load(path)
        self.network.to(self.device).eval()
        self._fingerprint = fingerprint_values("seq2seq queries", *self._identity())

    @property
    def fingerprint(self) -> str:
        """Digest of the model, its tokenizer, how it generates, the number of queries, the seed and the precision."""
        return self._fingerprint

    def _identity(self) -> list[Any]:
        settings = {name: value for name, value in vars(self.generation).items() if name != "batch_size"}
        defaults = self.network.model.generation_config.to_dict()
        defaults.pop("transformers_version", None)
        seed = None if self.generation.beams else self.seed
        precision = precision_name(self.dtype)
        return [fingerprint_model(self.network), settings, defaults, self.count, seed, precision]

    def generate(self, passages: list[str]) -> list[list[str]]:
        """``queries_per_passage`` queries of each passage."""
        texts = [self.generation.prompt.replace(PLACE, passage) for passage in passages]
        read = self.network.tokenizer(
            texts, padding=True, truncation=True, max_length=self._longest(), return_tensors="pt"
        )
        ids, mask = read["input_ids"].to(self.device), read["attention_mask"].to(self.device)
        half = torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)
        with torch.inference_mode(), half:
            made = self._search(ids, mask) if self.generation.beams else self._sample(ids, mask, passages)
        words = self.network.tokenizer.batch_decode(made, skip_special_tokens=True)
        return [words[start : start + self.count] for start in range(0, len(words), self.count)]

    def _longest(self) -> int:
        return min(self.generation.max_length, int(self.network.tokenizer.model_max_length))

    def _search(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(B * queries, L) the best sequences by beams."""
        how = self._configured(num_beams=self.generation.beams, num_return_sequences=self.count)
        found: Tensor = self.network.model.generate(input_ids=ids, attention_mask=mask, generation_config=how)
        return found

    def _sample(self, ids: Tensor, mask: Tensor, passages: list[str]) -> Tensor:
        """(B * queries, L) sampled sequences; each passage is encoded once."""
        states = self.network.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        seeds = [[self.seed, key, number] for key in keys_of_texts(passages).tolist() for number in range(self.count)]
        made: Tensor = self.network.model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=states.repeat_interleave(self.count, dim=0)),
            attention_mask=mask.repeat_interleave(self.count, dim=0),
            logits_processor=LogitsProcessorList([GumbelSampling(seeds, self.generation)]),
            generation_config=self._configured(num_beams=1, num_return_sequences=1),
        )
        return made

    def _configured(self, **changes: Any) -> GenerationConfig:
        """The model's own configuration, but for what is chosen here; what samples in it has no say."""
        own = self.network.model.generation_config.to_dict()
        chosen = {"do_sample": False, "max_new_tokens": self.generation.max_new_tokens, "max_length": None, **changes}
        plain = dict.fromkeys(("temperature", "top_k", "top_p", "typical_p", "min_p"))
        return GenerationConfig.from_dict({**own, **plain, **chosen})


class GumbelSampling(LogitsProcessor):  # type: ignore[misc]
    """Adds noise to the logits of B rows, so that their largest is a sample of a row's distribution.

    Args:
        seeds: Whole numbers for each row, from which its stream of random numbers begins.
        generation: Temperature, top-k and top-p, which are applied before, in this order.
    """

    def __init__(self, seeds: list[list[int]], generation: GenerationOptions) -> None:
        self.streams = [torch.Generator().manual_seed(_seed_of(one)) for one in seeds]
        self.temperature = generation.temperature
        self.warpers = [TopKLogitsWarper(generation.top_k)] if generation.top_k else []
        self.warpers += [TopPLogitsWarper(generation.top_p)] if generation.top_p < 1 else []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(B, vocabulary) logits with noise."""
        scores = scores.float() / self.temperature
        for warper in self.warpers:
            scores = warper(input_ids, scores)
        noise = [torch.empty(scores.shape[1]).exponential_(generator=stream) for stream in self.streams]
        return scores - torch.stack(noise).to(scores.device).log()


def _seed_of(numbers: list[int]) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


class _Network(nn.Module):
    """A model and its tokenizer, as fingerprints read them."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__()
        self.model, self.tokenizer, self.config = model, tokenizer, model.config


def _load(path: str) -> Any:
    expected = "a query generator: a sequence-to-sequence model of transformers (a folder or Hub id)"
    remedy = "check the spelling, the path and the network, or name a module:function, or a file of queries"
    with loading(expected, path, remedy), whole_weights(path):
        if not (configuration(path) or {}).get("is_encoder_decoder"):
            raise InputError(expected=expected, got=f"{path!r}, which is no such model", remedy=remedy)
        return _Network(AutoModelForSeq2SeqLM.from_pretrained(path).float(), AutoTokenizer.from_pretrained(path))


def _refuse_few_beams(beams: int, count: int) -> None:
    if 0 < beams < count:
        raise InputError(
            expected=f"at least {count} beams for {count} queries of each passage",
            got=str(beams),
            remedy="search with more beams, ask for fewer queries, or sample (beams 0)",
        )
