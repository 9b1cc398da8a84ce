"""One forward pass of the student over all columns, with the token states and attention of its layers."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from st_mta.errors import InputError
from st_mta.losses.batch import Labels
from st_mta.losses.list_loss import embed
from st_mta.losses.word_level.capture import capture, unwrap
from st_mta.losses.word_level.recorded import AnyAttention, Attention, Probabilities, Recorded


@dataclass(frozen=True)
class Side:
    """The tokens of all queries, or of all passages.

    Attributes:
        input_ids: (R, L).
        text: (R, L) bool, True for tokens of the text itself: no padding, special token or prompt.
        recorded: What the backbone computed, R rows padded to L tokens.
    """

    input_ids: Tensor
    text: Tensor
    recorded: Recorded


@dataclass(frozen=True)
class StudentPass:
    """What the student made of a batch.

    Attributes:
        embeddings: One (rows, D) tensor per column, the queries' first.
        queries: B rows.
        documents: U rows, column after column.
        readings: What teachers made of the same batch, so that losses with the same teacher run it once.
    """

    embeddings: list[Tensor]
    queries: Side
    documents: Side
    readings: dict[Hashable, Any] = field(default_factory=dict)


def run_student(
    model: nn.Module,
    sentence_features: Iterable[dict[str, Any]],
    labels: Labels | None,
    *,
    hidden_states: Collection[int] = (),
    attentions: Collection[int] = (),
) -> StudentPass:
    """Embeds all columns, the queries' first and each once, and keeps what the named layers computed.

    Raises:
        InputError: If the model was not really called, as in all but the first dimension of ``MatryoshkaLoss``.
    """
    columns = list(sentence_features)
    with capture(model, hidden_states=hidden_states, attentions=attentions) as calls:
        embeddings = embed(model, columns, labels)
    if len(calls) < 2:
        raise InputError(
            expected="a forward pass for the queries and at least one for the passages",
            got=f"{len(calls)}",
            remedy="give a query column and at least one passage column, and wrap the losses over embeddings alone in "
            "MatryoshkaLoss, which repeats the same forward pass for every dimension",
        )
    tokenizer = unwrap(model).tokenizer
    queries, documents = (
        side_of(tokenizer, columns[part], _stack_recorded(calls[part])) for part in (slice(1), slice(1, None))
    )
    return StudentPass(embeddings, queries, documents)


def side_of(tokenizer: Any, columns: Sequence[dict[str, Any]], recorded: Recorded | None = None) -> Side:
    """The tokens of some columns under each other, and what was recorded of them."""
    texts = [text_tokens(tokenizer, column) for column in columns]
    return Side(_stack([column["input_ids"] for column in columns]), _stack(texts), recorded or Recorded())


def text_tokens(tokenizer: Any, features: dict[str, Any]) -> Tensor:
    """(R, L) bool: tokens of the text itself."""
    mask: Tensor = features["attention_mask"].bool()
    # An unknown word is part of the text.
    special = {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}
    text: Tensor = mask & ~torch.isin(features["input_ids"], torch.tensor(sorted(special), device=mask.device))
    prompt = features.get("prompt_length")
    if prompt is None:
        return text
    # The host counts the prompt from the first token that is no padding, special tokens included.
    return text & (mask.cumsum(dim=-1) > torch.as_tensor(prompt, device=mask.device).reshape(-1, 1))


def _stack_recorded(calls: Sequence[Recorded]) -> Recorded:
    first = calls[0]
    return Recorded(
        {layer: _stack([call.hidden_states[layer] for call in calls]) for layer in first.hidden_states},
        {layer: _stack_attention([call.attentions[layer] for call in calls]) for layer in first.attentions},
    )


def _stack_attention(attentions: Sequence[AnyAttention]) -> AnyAttention:
    if shown := [each.probabilities for each in attentions if isinstance(each, Probabilities)]:
        return Probabilities(_stack(shown))
    by_parts = [each for each in attentions if isinstance(each, Attention)]
    parts = zip(*((each.queries, each.keys, each.values, each.bias) for each in by_parts))
    queries, keys, values, bias = map(_stack, parts)
    return Attention(queries, keys, values, bias, by_parts[0].scaling)


def _stack(parts: Sequence[Tensor]) -> Tensor:
    """Puts rows under each other, padded with zeros to the longest in every other axis."""
    longest = [max(sizes) for sizes in zip(*(part.shape for part in parts))]
    return torch.cat([_pad(part, longest) for part in parts])


def _pad(part: Tensor, longest: Sequence[int]) -> Tensor:
    # Axes count from the last, and rows are not padded.
    sizes = zip(part.shape[:0:-1], longest[:0:-1])
    return F.pad(part, [end for size, wanted in sizes for end in (0, wanted - size)])
