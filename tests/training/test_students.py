"""Pruned students keep the layers they should and load anywhere."""

from __future__ import annotations

import pytest
import torch
from sentence_transformers import SentenceTransformer

from st_mta.errors import InputError
from st_mta.scorers.origin import num_layers
from st_mta.training.students import prune_layers
from tests.tiny import tiny_sentence_transformer


def test_kept_layers_are_those_asked_for():
    base, student = tiny_sentence_transformer(1, layers=4), tiny_sentence_transformer(1, layers=4)
    prune_layers(student, [0, 3])
    layers, kept = base.transformers_model.encoder.layer, student.transformers_model.encoder.layer
    assert num_layers(student) == len(kept) == 2
    for ours, theirs in zip(kept, (layers[0], layers[3])):
        for a, b in zip(ours.parameters(), theirs.parameters()):
            assert torch.equal(a, b)


def test_a_pruned_student_loads_without_trust(tmp_path):
    student = prune_layers(tiny_sentence_transformer(1, layers=4), [1, 2])
    student.save_pretrained(str(tmp_path))
    again = SentenceTransformer(str(tmp_path), device="cpu")
    assert num_layers(again) == 2
    assert torch.equal(
        student.encode(["the cat"], convert_to_tensor=True), again.encode(["the cat"], convert_to_tensor=True)
    )


@pytest.mark.parametrize("keep", [[], [0, 4], [1, 0], [0, 0], [-1]])
def test_layers_that_do_not_exist_are_refused(keep):
    with pytest.raises(InputError, match="between 0 and 3"):
        prune_layers(tiny_sentence_transformer(1, layers=4), keep)
