"""Training queries that are made from passages: by a function, a model or a file."""

from __future__ import annotations

from st_mta.generators.base import QueryGenerator, StoringGenerator
from st_mta.generators.collection import with_generated_queries
from st_mta.generators.file import FileGenerator
from st_mta.generators.function import FunctionGenerator
from st_mta.generators.load import load_generator
from st_mta.generators.sequence_to_sequence import GenerationOptions, SequenceToSequenceGenerator

__all__ = [
    "FileGenerator",
    "FunctionGenerator",
    "GenerationOptions",
    "QueryGenerator",
    "SequenceToSequenceGenerator",
    "StoringGenerator",
    "load_generator",
    "with_generated_queries",
]
