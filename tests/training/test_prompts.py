"""Training reads a text exactly as ``encode_query`` and ``encode_document`` do, prompt and all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator

from st_mta.training.student_folders import StudentFolders
from st_mta.training.students import collator_inputs
from tests.tiny import tiny_sentence_transformer

QUERY, DOCUMENT = {"query": "the query: "}, {"document": "the passage: "}
CASES = {
    "none": ({}, None),
    "own": ({"prompts": QUERY | DOCUMENT}, None),
    "own, documents as passage": ({"prompts": QUERY | {"passage": "the passage: "}}, None),
    "own, documents as corpus": ({"prompts": {"corpus": "the passage: "}}, None),
    "own, documents twice": ({"prompts": DOCUMENT | {"passage": "a file: "}}, None),
    "a default": ({"prompts": {"web": "the web: "}, "default_prompt_name": "web"}, None),
    "a default that is the query's": ({"prompts": QUERY, "default_prompt_name": "query"}, None),
    "of the arguments": ({}, {"query": "the query: ", "documents": "the passage: "}),
    "of the arguments, one for all": ({}, "the text: "),
    "of the arguments, beside own": ({"prompts": DOCUMENT}, QUERY),
    "of the arguments, over own": ({"prompts": QUERY | DOCUMENT}, {"documents": "a file: "}),
    "of the arguments, over own passage": ({"prompts": {"passage": "the passage: "}}, {"passage": "a file: "}),
}


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_training_sees_what_encoding_sees(case, include):
    own, given = CASES[case]
    student = StudentFolders(tiny_sentence_transformer(1, **own), None, given).original
    student.set_pooling_include_prompt(include)
    collator = SentenceTransformerDataCollator(student.preprocess, **collator_inputs(student, None))
    student.eval()
    for column, encode in (("query", student.encode_query), ("documents", student.encode_document)):
        batch = collator([{column: "the cat eats fish"}])
        features = {key.removeprefix(f"{column}_"): value for key, value in batch.items() if key.startswith(column)}
        with torch.no_grad():
            trained = student(features)["sentence_embedding"].numpy()
        np.testing.assert_allclose(trained, encode(["the cat eats fish"]), atol=1e-5)
