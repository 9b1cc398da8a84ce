"""A teacher's token states and attention, computed once per row of tokens and then read from a store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from functools import cached_property

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import Tensor

from st_mta.losses.word_level.recorded import AnyAttention, Attention, Probabilities, Recorded
from st_mta.losses.word_level.shown import shows_queries
from st_mta.stores import Store, fingerprint_model

Features = dict[str, Tensor]
STATES, SIDES, BIAS, SCALING = "states", ("queries", "keys", "values"), "bias", "scaling"
PROBABILITIES = "probabilities"


class StoredReading:
    """The token states and attention of a frozen teacher behind a store.

    A row is known by its very tokens, so that the same texts are read once whatever the batch, the padding, the
    student or the run. In fp32 a token takes 4 bytes per dimension for a layer's states, and three times that for its
    attention; of a backbone that shows nothing but probabilities, 4 bytes per head and token of its row.

    Args:
        teacher: What reads; its weights are part of the address, so they must not change any more.
        store: Where rows are kept.
    """

    def __init__(self, teacher: CrossEncoder | SentenceTransformer, store: Store) -> None:
        self.teacher, self.store = teacher, store

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the teacher."""
        fingerprint = fingerprint_model(self.teacher)
        name = str(self.teacher.model_card_data.base_model or "")
        self.store.describe(fingerprint, name, "token states")
        return fingerprint

    def __call__(
        self,
        features: Features,
        states: Collection[int],
        attentions: Collection[int],
        compute: Callable[[Features], Recorded],
    ) -> Recorded:
        """Layers' states and attentions for P rows of input (P, T); ``compute`` reads those not in the store."""
        room = self._room(features["input_ids"].device.type, states, attentions)
        keys = _row_keys(features)
        missing = self.store.tensors.missing(room, keys)
        if missing:
            place = [keys.index(key) for key in missing]
            masks = features["attention_mask"][place].bool()
            recorded = compute({name: tensor[place] for name, tensor in features.items()})
            rows = [_row(recorded, row, mask) for row, mask in enumerate(masks)]
            self.store.tensors.put(room, dict(zip(missing, rows)))
        by_queries = shows_queries(self.teacher.transformers_model)
        stored = self.store.tensors.get(room, keys, _names(states, attentions, by_queries))
        return _together(stored, features["attention_mask"].bool(), states, attentions)

    def _room(self, device: str, states: Collection[int], attentions: Collection[int]) -> str:
        precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.teacher.dtype
        layers = [f"{kind}-{'-'.join(map(str, sorted(of)))}" for kind, of in (("s", states), ("a", attentions)) if of]
        return "/".join([self.fingerprint, "_".join([str(precision).removeprefix("torch."), *layers])])


def _row_keys(features: Features) -> list[str]:
    """A digest of each row's tokens, whatever its padding."""
    names = [name for name in ("input_ids", "token_type_ids") if name in features]
    columns = torch.stack([features[name] for name in names]).cpu()
    masks = features["attention_mask"].bool().cpu()
    rows = [columns[:, row, mask].contiguous().numpy().tobytes() for row, mask in enumerate(masks)]
    return [hashlib.blake2b(row, digest_size=16).hexdigest() for row in rows]


def _names(states: Collection[int], attentions: Collection[int], by_queries: bool) -> list[str]:
    kinds = (*SIDES, BIAS, SCALING) if by_queries else (PROBABILITIES,)
    return [f"{STATES}.{layer}" for layer in states] + [f"{kind}.{layer}" for layer in attentions for kind in kinds]


def _row(recorded: Recorded, row: int, mask: Tensor) -> dict[str, Tensor]:
    """One row without its padding: states (t, D), sides of attention (t, H, D / H), bias (t, t, 1 or H).

    Of a backbone that shows nothing else, probabilities (t, t, H).
    """
    tensors = {f"{STATES}.{layer}": states[row][mask] for layer, states in recorded.hidden_states.items()}
    for layer, attention in recorded.attentions.items():
        if isinstance(attention, Probabilities):
            tensors[f"{PROBABILITIES}.{layer}"] = _pairs(attention.probabilities[row], mask)
            continue
        for kind in SIDES:
            tensors[f"{kind}.{layer}"] = getattr(attention, kind)[row].transpose(0, 1)[mask]
        tensors[f"{BIAS}.{layer}"] = _pairs(_additive(attention.bias[row]), mask)
        tensors[f"{SCALING}.{layer}"] = torch.tensor(attention.scaling, dtype=torch.float64)
    return tensors


def _pairs(table: Tensor, mask: Tensor) -> Tensor:
    """(1 or H, T, T) -> (t, t, 1 or H), the tokens that are there."""
    return table.permute(1, 2, 0)[mask][:, mask]


def _additive(bias: Tensor) -> Tensor:
    """What is added to the logits, where ``bias`` may only say where to look."""
    if bias.dtype != torch.bool:
        return bias
    return torch.zeros(bias.shape, device=bias.device).masked_fill(~bias, torch.finfo(torch.float32).min)


def _together(
    stored: dict[str, list[Tensor]], mask: Tensor, states: Collection[int], attentions: Collection[int]
) -> Recorded:
    """Rows under each other, padded as the teacher's input is."""

    def pairs(kind: str, layer: int) -> Tensor:
        rows = [table.flatten(0, 1) for table in stored[f"{kind}.{layer}"]]
        return _scatter(rows, mask[:, :, None] & mask[:, None]).permute(0, 3, 1, 2)

    def attention(layer: int) -> AnyAttention:
        if f"{PROBABILITIES}.{layer}" in stored:
            return Probabilities(pairs(PROBABILITIES, layer))
        queries, keys, values = (_scatter(stored[f"{kind}.{layer}"], mask).transpose(1, 2) for kind in SIDES)
        return Attention(queries, keys, values, pairs(BIAS, layer), scaling=float(stored[f"{SCALING}.{layer}"][0]))

    return Recorded(
        {layer: _scatter(stored[f"{STATES}.{layer}"], mask) for layer in states},
        {layer: attention(layer) for layer in attentions},
    )


def _scatter(rows: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Rows (t, ...) into the places that (P, T) or (P, T, T) marks; zero elsewhere."""
    together = torch.cat(list(rows)).to(mask.device)
    out = together.new_zeros(*mask.shape, *together.shape[1:])
    out[mask] = together
    return out
