"""Smaller vocabularies of fast tokenizers: which entries a cut has to keep, and a tokenizer's file without the others.

The file is that of the library tokenizers (``tokenizer.json``), read as JSON.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from st_mta.errors import InputError
from st_mta.types import IntArray

Description = dict[str, Any]
MODELS = ("WordPiece", "BPE", "Unigram", "WordLevel")
BYTE = re.compile(r"<0x[0-9A-F]{2}>")
"""A piece that stands for one byte of a character that has none of its own."""
UNUSED = re.compile(r"\[unused\d+\]|<unused\d+>|madeupword\d+")
"""Places that some vocabularies keep free for a user's own tokens; no text contains them."""
WORD_BEGINS = "▁"


def vocabulary(description: Description) -> dict[str, int]:
    """Every token and its id."""
    model = description["model"]
    listed = model["vocab"]
    found = {piece: place for place, (piece, _) in enumerate(listed)} if isinstance(listed, list) else dict(listed)
    return {**found, **{token["content"]: token["id"] for token in description["added_tokens"]}}


def ids_to_keep(description: Description, used: Iterable[int], share: float) -> IntArray:
    """The tokens that a smaller vocabulary has to keep, so that texts of ``used`` alone are read as before.

    Args:
        description: The tokenizer.
        used: Ids of tokens that occur.
        share: Of the vocabulary, the first entries that are kept in any case, between 0 and 1.

    Returns:
        Ids, ascending: those that occur; added and special tokens; single characters and bytes, and what they cannot
        spell; the ``share``; for BPE, whatever the kept tokens are merged from; for Unigram, the least likely piece,
        by which unknown characters are rated.

    Raises:
        InputError: If the vocabulary is of another kind.
    """
    model = description["model"]
    if model["type"] not in MODELS:
        raise InputError(
            expected=f"a tokenizer of the kinds {', '.join(MODELS)}",
            got=model["type"],
            remedy="leave its vocabulary whole, or choose another student",
        )
    tokens = vocabulary(description)
    kept = {*used, *(token["id"] for token in description["added_tokens"])}
    kept |= _spelling(tokens, model) | _first(tokens, share)
    if model["type"] == "Unigram":
        kept.add(min(range(len(model["vocab"])), key=lambda place: model["vocab"][place][1]))
        kept |= set() if model["unk_id"] is None else {model["unk_id"]}
    if model["type"] == "BPE":
        kept |= _merged_from(kept, tokens, model)
    return np.array(sorted(kept & set(tokens.values())), dtype=np.int64)


def cut(description: Description, ids: IntArray) -> Description:
    """The tokenizer with these tokens alone, in their order, numbered from 0."""
    new = {int(old): place for place, old in enumerate(ids)}
    found = copy.deepcopy(description)
    model, tokens = found["model"], vocabulary(description)
    if isinstance(model["vocab"], list):
        model["vocab"] = [entry for place, entry in enumerate(model["vocab"]) if place in new]
        model["unk_id"] = new.get(model["unk_id"])
    else:
        model["vocab"] = {piece: new[old] for piece, old in model["vocab"].items() if old in new}
    if model["type"] == "BPE":
        model["merges"] = [
            merge
            for merge, parts in zip(model["merges"], _merges(model))
            if all(tokens.get(part) in new for part in (*parts, _joined(parts, model)))
        ]
    for token in found["added_tokens"]:
        token["id"] = new[token["id"]]
    if (padding := found.get("padding")) is not None:
        padding["pad_id"] = new[padding["pad_id"]]
    _renumber(found.get("post_processor"), new)
    return found


def _renumber(processor: Any, new: dict[int, int]) -> None:
    """Ids of the tokens that are put around texts."""
    if processor is None:
        return
    for inner in processor.get("processors", ()):
        _renumber(inner, new)
    special = processor.get("special_tokens")
    for token in special.values() if isinstance(special, dict) else ():
        token["ids"] = [new[old] for old in token["ids"]]
    for name in ("sep", "cls"):  # of the processors of BERT and RoBERTa
        if name in processor:
            processor[name][1] = new[processor[name][1]]


def _spelling(tokens: dict[str, int], model: dict[str, Any]) -> set[int]:
    """Single characters and bytes in all their forms, and the tokens that cannot be spelt by them."""
    prefix, suffix = (model.get(name) or "" for name in ("continuing_subword_prefix", "end_of_word_suffix"))
    single = {piece for piece in tokens if len(_bare(piece, prefix, suffix)) < 2 or BYTE.fullmatch(piece)}
    if model["type"] == "WordLevel":
        return {tokens[piece] for piece in single}

    def spelt(piece: str) -> bool:
        inside = bool(prefix) and piece.startswith(prefix)
        letters = _bare(piece, prefix, suffix, begins="")
        return all((prefix if place or inside else "") + letter in single for place, letter in enumerate(letters))

    return {
        place
        for piece, place in tokens.items()
        if not UNUSED.fullmatch(piece) and (piece in single or not spelt(piece))
    }


def _bare(piece: str, prefix: str, suffix: str, begins: str = WORD_BEGINS) -> str:
    """A piece without the signs of its place in a word."""
    return piece.removeprefix(prefix).removesuffix(suffix).removeprefix(begins)


def _first(tokens: dict[str, int], share: float) -> set[int]:
    """The first entries, which are the most frequent ones: vocabularies are built in that order, or sorted so."""
    ids = sorted(place for piece, place in tokens.items() if not UNUSED.fullmatch(piece))
    return set(ids[: round(share * len(ids))])


def _merged_from(kept: set[int], tokens: dict[str, int], model: dict[str, Any]) -> set[int]:
    """All that the kept tokens are merged from, step by step, in any way that there is."""
    pieces = {place: piece for piece, place in tokens.items()}
    ways: dict[str, list[tuple[str, str]]] = {}
    for parts in _merges(model):
        ways.setdefault(_joined(parts, model), []).append(parts)
    found, open_ones = set(kept), [pieces[place] for place in kept if place in pieces]
    while open_ones:
        needed = {part for way in ways.get(open_ones.pop(), ()) for part in way}
        fresh = {part for part in needed if tokens[part] not in found}
        found |= {tokens[part] for part in fresh}
        open_ones += fresh
    return found


def _merges(model: dict[str, Any]) -> list[tuple[str, str]]:
    """The pairs, which older files write as one text."""
    pairs = (merge.split(" ", 1) if isinstance(merge, str) else merge for merge in model["merges"])
    return [(first, second) for first, second in pairs]


def _joined(parts: tuple[str, str], model: dict[str, Any]) -> str:
    return parts[0] + parts[1].removeprefix(model.get("continuing_subword_prefix") or "")
