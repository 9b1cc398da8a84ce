"""What a run with a cross-encoder as student cannot do, said before anything is loaded from a store or written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from st_mta.errors import InputError
from st_mta.lookup import spelled
from st_mta.losses.by_name import LOSSES, find_loss
from st_mta.losses.objectives import OBJECTIVES
from st_mta.scorers import EmbeddingScorer
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.options import SIMILARITY
from st_mta.types import Scorer


def refuse_for_rerankers(
    arguments: MultiAssistantTrainingArguments, scorers: Sequence[Scorer], loss: str | Callable[..., Any] | None
) -> None:
    """Raises ``InputError`` where an argument needs embeddings of the student, or nobody finds it candidates.

    Args:
        arguments: Of the run.
        scorers: Teacher and assistants.
        loss: Given instead of ``arguments.loss``.
    """
    _refuse_embeddings(arguments)
    _refuse_loss(arguments.loss if loss is None else loss)
    if arguments.filter_false_negatives == SIMILARITY and not any(isinstance(one, EmbeddingScorer) for one in scorers):
        raise InputError(
            expected="a bi-encoder among the scorers for filter_false_negatives='similarity'",
            got=", ".join(f"{scorer.name} ({scorer.kind})" for scorer in scorers),
            remedy="bring one as assistant, or filter by the teacher's scores ('relative' or 'absolute')",
        )
    if not any(scorer.can_retrieve for scorer in scorers):
        raise InputError(
            expected="a scorer that searches: a cross-encoder as student only re-ranks",
            got=", ".join(f"{scorer.name} ({scorer.kind})" for scorer in scorers),
            consequence="there would be no candidates to learn from, and nothing to re-rank",
            remedy="add one as assistant, such as bm25",
        )


def _refuse_embeddings(arguments: MultiAssistantTrainingArguments) -> None:
    defaults: dict[str, tuple[Any, ...]] = {
        "regression_weight": (None, 0.0),
        "regression_terms": (None,),
        "regression_texts": (None,),
        "candidates": ("list",),
        "exits": (None,),
        "mini_batch_size": (None,),
    }
    for name, unused in defaults.items():
        if (value := getattr(arguments, name, unused[0])) not in unused:
            raise InputError(
                expected=f"no {name} for a cross-encoder as student, which has no embeddings",
                got=repr(value),
                remedy="leave it out",
            )


def _refuse_loss(loss: str | Callable[..., Any]) -> None:
    """The words of losses over embeddings, and the host's classes of these; a user's own function may be any."""
    words = [word for word in OBJECTIVES if "objective" in find_loss(word).supports]
    if isinstance(loss, str):
        fits = ":" in loss or spelled(loss, LOSSES) in words
    else:
        fits = not isinstance(loss, type) or not loss.__module__.startswith("sentence_transformers.")
    if not fits:
        raise InputError(
            expected=f"a loss over a cross-encoder's logits: {', '.join(words)}, or your own module:function",
            got=loss if isinstance(loss, str) else loss.__name__,
            consequence="it compares embeddings, which a cross-encoder does not have",
            remedy="take one of these, or name what to compare by with objective (margin-mse)",
        )
