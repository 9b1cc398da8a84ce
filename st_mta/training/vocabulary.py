"""Students cut in vocabulary: word vectors and tokens that no text of a collection uses are dropped."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoTokenizer

from st_mta.errors import InputError
from st_mta.progress import progress
from st_mta.ranges import SHARE
from st_mta.scorers import load_student
from st_mta.training.smaller_words import BackboneChange, Change, StaticChange, named_ids
from st_mta.training.students import is_same_when_saved
from st_mta.training.texts_to_keep import TextsToKeep, listed
from st_mta.training.tokenizer_json import cut, ids_to_keep, vocabulary
from st_mta.types import Collection, IntArray

KEEP_GENERAL = 0.25
"""Share of a vocabulary that is kept for texts to come."""
COMPARED = 64
"""Texts whose embeddings are compared before and after."""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def prune_vocabulary(
    model: SentenceTransformer | str | Path,
    texts: Collection | Iterable[str],
    *,
    prompts: Iterable[str] = (),
    keep_general: float = KEEP_GENERAL,
) -> SentenceTransformer:
    """Drops the word vectors and tokens that neither the texts nor a general share of the vocabulary need.

    Embeddings of the texts stay the same, bit for bit. Another text is read as before where all of its tokens are
    still there; a word whose token is gone is spelt with shorter pieces, down to single characters, and becomes
    unknown only where it was before.

    The saved result holds only modules of the host, so it loads anywhere. Layers may be pruned before or after.

    Args:
        model: A SentenceTransformer (changed in place) or the name or folder of one.
        texts: Texts, or a collection: its passages and the queries of all splits but the test split.
        prompts: Prompts that are set later; those of the model itself are read with every text, too.
        keep_general: Share of the vocabulary that is kept whatever the texts are, between 0 and 1: its first
            entries, the most frequent ones of what the tokenizer was made from. all-MiniLM-L6-v2 cut to openbookqa
            (1,326 passages) has 14.6, 14.8, 15.7 and 17.8 of its 22.7 million weights with shares of 0, .1, .25 and
            .5; of the test queries, which were not read, 32, 30, 24 and 14 percent have another embedding, and
            nDCG@10 is .728, .727, .732 and .730 instead of .732.

    Returns:
        The model.

    Raises:
        InputError: If the texts are none, or the model has no fast tokenizer of a known kind, adapters, word vectors
            that several backbones share, or weights with one row per token besides them, or if a text would be read
            in another way.
    """
    if keep_general not in SHARE:
        raise InputError(expected="keep_general between 0 and 1", got=repr(keep_general), remedy="give a share")
    student = load_student(model)
    own = filter(None, (student.prompts or {}).values())
    read = TextsToKeep(texts, sorted({"", *own, *listed("prompts as texts", prompts)}))
    parts = [_part(module) for module in student.modules() if isinstance(module, (Transformer, StaticEmbedding))]
    if not parts:
        raise _unfit("a student that reads words", f"modules {[type(module).__name__ for module in student]}")
    _refuse_shared_tables(parts)
    changes = [_change(part, read, keep_general) for part in parts]
    probes = [text for text in read.first(COMPARED) if text.strip()]  # some models have no number for an empty one
    before = student.encode(probes, show_progress_bar=False, convert_to_tensor=True)
    for change in changes:
        change.make()
    same = torch.equal(before, student.encode(probes, show_progress_bar=False, convert_to_tensor=True))
    if not (same and is_same_when_saved(student)):
        for change in changes:
            change.undo()
        raise _unfit("a student whose embeddings are the same with fewer tokens", "other embeddings")
    return student


def _change(part: Any, read: TextsToKeep, share: float) -> Change:
    """What is kept of a module's vocabulary; all texts are tokenised with the old and with the new one."""
    tokenizer = _whole_texts(part.tokenizer)
    description = json.loads(tokenizer.to_str())
    used = np.zeros(max(vocabulary(description).values()) + 1, dtype=bool)
    used[[one for one in _needed(part) if 0 <= one < len(used)]] = True
    for (found,) in _tokenised(read, tokenizer):
        used[found] = True
    ids = ids_to_keep(description, np.flatnonzero(used).tolist(), share)
    smaller = cut(json.loads(_backend(part.tokenizer).to_str()), ids)
    if isinstance(part, StaticEmbedding):
        change: Change = StaticChange(part, Tokenizer.from_str(json.dumps(smaller)), ids)
    else:
        change = BackboneChange(part, _loaded(part.tokenizer, smaller), ids)
    _refuse_other_reading(tokenizer, _whole_texts(change.new[0]), ids, read)
    return change


def _refuse_shared_tables(parts: list[Any]) -> None:
    """Raises ``InputError`` if two backbones read one table of word vectors: each would be given its own."""
    tables = {id(part.model): part.model.get_input_embeddings().weight for part in parts if hasattr(part, "model")}
    tables |= {id(part): part.embedding.weight for part in parts if not hasattr(part, "model")}
    if len(set(map(id, tables.values()))) < len(tables):
        raise _unfit("a student whose backbones have word vectors of their own", "several that share one table")


def _part(module: Any) -> Any:
    """The module, where its vocabulary can be cut."""
    if not isinstance(_backend(module.tokenizer), Tokenizer):
        raise _unfit("a student with a fast tokenizer", type(module.tokenizer).__name__)
    if isinstance(module, StaticEmbedding):
        return module
    backbone = module.model
    if getattr(backbone, "peft_config", None):
        raise InputError(
            expected="a student without adapters",
            got=f"the adapters {list(backbone.peft_config)}",
            consequence="they would be saved without the smaller vocabulary that they were trained on",
            remedy="prune the vocabulary first, save the student, load it and add the adapter then",
        )
    words = backbone.get_input_embeddings()
    if not isinstance(words, nn.Embedding):
        raise _unfit("a student with a table of word vectors", type(words).__name__)
    others = [name for name, weight in backbone.named_parameters() if weight is not words.weight and len(weight.shape)]
    rows = [name for name in others if backbone.get_parameter(name).shape[0] == words.num_embeddings]
    if rows:
        raise _unfit("a student whose word vectors alone have a row per token", f"{rows[0]!r}, which has them too")
    return module


def _needed(part: Any) -> list[int]:
    """Ids that a module names, and those that its numbers of positions depend on."""
    if isinstance(part, StaticEmbedding):
        return []
    words, named = part.model.get_input_embeddings(), named_ids(part.model)
    needed = [int(one) for _, name, value in named if name != "vocab_size" for one in np.atleast_1d(value)]
    needed += [part.tokenizer.convert_tokens_to_ids(token) for token in part.tokenizer.all_special_tokens]
    others = [module for module in part.model.modules() if isinstance(module, nn.Embedding) and module is not words]
    if any(other.padding_idx is not None for other in others):
        needed += range(words.padding_idx or 0)  # positions begin after the padding's own id
    return needed if words.padding_idx is None else [*needed, words.padding_idx]


def _backend(tokenizer: Any) -> Any:
    return getattr(tokenizer, "backend_tokenizer", tokenizer)


def _whole_texts(tokenizer: Any) -> Tokenizer:
    """A copy of a tokenizer that neither pads nor cuts."""
    found = Tokenizer.from_str(_backend(tokenizer).to_str())
    found.no_padding()
    found.no_truncation()
    return found


def _tokenised(read: TextsToKeep, *tokenizers: Tokenizer) -> Iterator[list[IntArray]]:
    """The ids of every block of texts, one text after another, by each tokenizer."""
    with progress("Reading the texts", len(read), "texts") as bar:
        for block in read.blocks():
            yield [_ids(tokenizer, block) for tokenizer in tokenizers]
            bar.update(len(block))


def _ids(tokenizer: Tokenizer, texts: list[str]) -> IntArray:
    return np.array([one for row in tokenizer.encode_batch_fast(texts) for one in row.ids], dtype=np.int64)


def _loaded(tokenizer: Any, smaller: dict[str, Any]) -> Any:
    """A tokenizer of transformers with a smaller vocabulary, as it is read from a folder."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        for path in Path(folder).iterdir():
            if path.name not in TOKENIZER_FILES:
                path.unlink()  # the vocabulary in the forms of other libraries
        (Path(folder) / "tokenizer.json").write_text(json.dumps(smaller, ensure_ascii=False), encoding="utf-8")
        settings = json.loads((Path(folder) / "tokenizer_config.json").read_text(encoding="utf-8"))
        settings.pop("added_tokens_decoder", None)  # by their old ids
        (Path(folder) / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
        found = AutoTokenizer.from_pretrained(folder)
    for name in ("padding_side", "truncation_side", "model_max_length", "name_or_path"):
        setattr(found, name, getattr(tokenizer, name))
    return found


def _refuse_other_reading(old: Tokenizer, new: Tokenizer, ids: IntArray, read: TextsToKeep) -> None:
    """Raises ``InputError`` unless the new tokenizer has the kept tokens and reads every text as the old one."""
    tokens = old.get_vocab(with_added_tokens=True)
    numbers = np.full(max(tokens.values()) + 1, -1, dtype=np.int64)
    numbers[ids] = np.arange(len(ids))
    expected = {token: int(numbers[place]) for token, place in tokens.items() if numbers[place] >= 0}
    if new.get_vocab(with_added_tokens=True) != expected:
        raise _unfit("a tokenizer whose entries can be numbered anew", "other numbers after it was saved and loaded")
    for before, after in _tokenised(read, old, new):
        if not np.array_equal(numbers[before], after):
            raise _unfit("a tokenizer that reads the texts as before with fewer tokens", "a text with other tokens")


def _unfit(expected: str, got: str) -> InputError:
    return InputError(
        expected=expected, got=got, remedy="leave the student's vocabulary whole, or choose another student"
    )
