"""From what a user writes down (a function, a file, a model) to a generator of queries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from st_mta.errors import InputError
from st_mta.generators.base import QueryGenerator
from st_mta.generators.file import FileGenerator, is_query_file
from st_mta.generators.function import FunctionGenerator
from st_mta.generators.sequence_to_sequence import GenerationOptions, SequenceToSequenceGenerator
from st_mta.scorers.options import ScorerOptions

QUERIES_PER_PASSAGE = 3
"""As GPL has for collections that are not small."""


def load_generator(
    spec: Any,
    *,
    queries_per_passage: int = QUERIES_PER_PASSAGE,
    seed: int = 42,
    generation: Mapping[str, Any] | None = None,
    options: ScorerOptions | None = None,
) -> QueryGenerator:
    """A generator from whatever names one.

    Args:
        spec: A generator (returned as it is); a function of a list of passages, or its "module:function"
            ([`FunctionGenerator`]); a file of generated queries ([`FileGenerator`]); a folder or Hub id of a
            sequence-to-sequence model ([`SequenceToSequenceGenerator`]).
        queries_per_passage: What a model makes.
        seed: Of a model that samples.
        generation: How a model generates, by the names of [`GenerationOptions`].
        options: Store, precision and device.

    Raises:
        InputError: If nothing of that name can be loaded, or ``generation`` is given for something else than a model.
    """
    if isinstance(spec, QueryGenerator):
        return spec
    options = options or ScorerOptions()
    found: QueryGenerator | None = None
    if callable(spec) or _is_place(str(spec)):
        found = FunctionGenerator(spec, store=options.store)
    elif is_query_file(str(spec)):
        found = FileGenerator(spec)
    if found is None:
        how = GenerationOptions.of(generation)
        return SequenceToSequenceGenerator(str(spec), queries_per_passage, seed, how, options)
    if generation:
        raise InputError(
            expected="query_generator_options beside a sequence-to-sequence model",
            got=f"{dict(generation)} and {found.name!r}",
            consequence="they would be ignored",
            remedy="leave them out, or have the function read them by itself",
        )
    return found


def _is_place(spec: str) -> bool:
    """Whether it reads as a "module:function" and as nothing else."""
    module, colon, function = spec.partition(":")
    return bool(colon) and all(map(str.isidentifier, [*module.split("."), function])) and not Path(spec).exists()
