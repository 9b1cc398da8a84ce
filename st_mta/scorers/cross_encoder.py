"""A cross-encoder: reads query and passage together, the usual teacher."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from sentence_transformers import CrossEncoder

from st_mta.errors import InputError
from st_mta.scorers.answers import answer_exactly
from st_mta.scorers.base import PairScorer
from st_mta.scorers.batches import estimated_tokens
from st_mta.scorers.encoder_decoder import EncoderDecoder, load_encoder_decoder
from st_mta.scorers.frozen import sharing_weights
from st_mta.scorers.host_model import HostModelScorer
from st_mta.scorers.lengths import longest_input
from st_mta.scorers.long_pairs import Pair, fit_to_model
from st_mta.types import FloatArray, IntArray


class CrossEncoderScorer(HostModelScorer[CrossEncoder], PairScorer):
    """Raw logits of a cross-encoder with a single output.

    The activation a model was saved with (a sigmoid for most) is switched off: it would squash the differences
    between good passages that a student is to learn.

    Args: As of [`HostModelScorer`] and [`PairScorer`]. A pair may have twice ``max_length`` tokens, and those of the
        model's template beside them, but never more than the model's own limit, which None means. The prompt of the
        query stands before it, or where the template has its instruction.

    Raises:
        InputError: If the model has more than one output.
    """

    kind = "cross-encoder"
    host_class = CrossEncoder
    extra = {"activation": "identity"}
    roles = ("query",)
    _template_tokens = 0

    @property
    def model(self) -> CrossEncoder:
        """The frozen model."""
        return self._frozen.model

    @property
    def original(self) -> CrossEncoder:
        """The model as it came, which no working copy changes."""
        return self._frozen.original

    def predict(self, queries: list[str], passages: list[str]) -> FloatArray:
        """(P,) raw logits."""
        tokens = estimated_tokens(queries, None) + estimated_tokens(passages, None) + self._template_tokens
        limit = self._frozen.max_length
        scores = np.empty(len(queries), dtype=np.float32)
        with self._frozen.computing() as model:

            def compute(batch: IntArray) -> FloatArray:
                pairs = [(queries[index], passages[index]) for index in batch]
                logits: FloatArray = model.predict(
                    self._fitting(model, pairs),
                    batch_size=len(batch),
                    activation_fn=torch.nn.Identity(),
                    show_progress_bar=False,
                ).reshape(len(batch))
                return logits

            for batch, logits in self._computed(np.minimum(tokens, limit) if limit else tokens, compute):
                scores[batch] = logits
        return scores

    def _fitting(self, model: CrossEncoder, pairs: list[Pair]) -> list[Pair]:
        """The pairs as long as they may be; a language model's prompt has words behind them that are to stay."""
        if not self._template_tokens or isinstance(model[0], EncoderDecoder):  # which sees to it itself
            return pairs
        return fit_to_model(model, pairs, self._template_tokens)

    def _load(self, path: str, device: str | None) -> CrossEncoder:
        return load_encoder_decoder(path, device) or CrossEncoder(path, device=device)

    def _checked(self, model: CrossEncoder) -> CrossEncoder:
        if model.num_labels != 1:
            raise InputError(
                expected="a cross-encoder with one output, the relevance of the passage",
                got=f"{self.name} with {model.num_labels} outputs",
                remedy="use a re-ranker (num_labels=1), such as cross-encoder/ms-marco-MiniLM-L6-v2",
            )
        self._template_tokens = self._tokens_around(model)
        if self._template_tokens and not isinstance(model[0], EncoderDecoder):
            self.extra = {**self.extra, "cut": "document first"}
        return model

    @staticmethod
    def _ready(model: CrossEncoder, prompts: Mapping[str, str]) -> None:
        HostModelScorer._ready(model, prompts)
        if prompts:
            model.default_prompt_name = "query"
        if next(model.parameters()).dtype != torch.float32:
            answer_exactly(model)

    def _tokens_around(self, model: CrossEncoder) -> int:
        """Tokens that the template of a language model puts around every pair, 0 without one.

        Raises:
            InputError: If a prompt is given that it does not show.
        """
        if not isinstance(model[0], EncoderDecoder) and "message" not in getattr(model[0], "modality_config", ()):
            return 0
        copied = sharing_weights(model)
        self._ready(copied, self._prompts)
        prompt = copied.prompts.get(copied.default_prompt_name or "")
        read, other = (
            copied.preprocess([("a", "a")], prompt=text)["input_ids"][0].tolist() for text in (prompt, f"{prompt} a")
        )
        if self._prompts.get("query") and read == other:
            raise InputError(
                expected="a prompt for a model whose template has a place for an instruction",
                got=f"{prompt!r} for {self.name}, which has none",
                consequence="it would change nothing",
                remedy="leave the prompt out, or give a form whose prompt has {instruction} in it",
            )
        return len(read)

    def _length(self, model: CrossEncoder, max_length: int | None) -> int | None:
        """Room for a query and a passage of ``max_length`` tokens each, as far as the model reaches."""
        if max_length is None:
            return None
        wanted = 2 * max_length + self._template_tokens
        return min(wanted, longest_input(model) or wanted)
