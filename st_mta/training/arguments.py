"""The arguments of a distillation: the host's training arguments and the options of the method."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

from st_mta.training.options import MethodOptions


@dataclass
class MultiAssistantTrainingArguments(MethodOptions, SentenceTransformerTrainingArguments):
    """Arguments of [`MultiAssistantTrainer`]: everything of the host's arguments, and the options of the method.

    The host's arguments describe *one iteration*. They are never changed by a trainer; what is left open here
    (``precision``, ``regression_weight``, ``alpha``, ``scale``) is settled by the run and stands in its journal.
    """

    # Defaults of the host that differ: a batch is a set of queries, each with its whole list of candidates.
    logging_steps: float = 10
    save_steps: float = 50
    save_total_limit: int | None = 1
    report_to: None | str | list[str] = "none"


MultiAssistantTrainingArguments.__doc__ = (
    (MultiAssistantTrainingArguments.__doc__ or "").rstrip()
    + "\n\n    Args:"
    + "".join(
        f"\n        {field.name} (default {field.default!r}): {field.metadata['help']}"
        for field in fields(MethodOptions)
    )
)
