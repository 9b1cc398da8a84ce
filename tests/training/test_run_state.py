"""The batches of a listwise training, as a run's arguments ask for them."""

from __future__ import annotations

import numpy as np
import pytest

from st_mta.losses import ListwiseKLLoss
from st_mta.scored import ScoredCandidates
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.collator import listwise_dataset
from st_mta.training.run_state import listwise_collator
from st_mta.types import Candidates
from tests.tiny import tiny_sentence_transformer


@pytest.fixture
def toy_lists():
    passages = np.arange(6)
    lists = Candidates(
        np.arange(2), np.array([0, 3, 6]), passages, passages % 3 == 0, np.zeros(6, dtype=np.int64), ("qrels",)
    )
    return ScoredCandidates(lists, np.zeros((1, 6), dtype=np.float32))


@pytest.mark.parametrize(
    ("device", "asked", "columns"), [("cpu", 2, 3), ("cuda", 2, 3), ("cuda", None, 3), ("cpu", None, 1)]
)
def test_passages_per_forward_are_those_of_the_arguments(tmp_path, toy_lists, toy_collection, device, asked, columns):
    arguments = MultiAssistantTrainingArguments(str(tmp_path), documents_per_forward=asked, use_cpu=True)
    student = tiny_sentence_transformer()
    collator = listwise_collator(student, ListwiseKLLoss(student), arguments, device, toy_collection.corpus, {})
    batch = collator(list(listwise_dataset(toy_lists, toy_collection.queries)))
    assert sum(key.startswith("documents") and key.endswith("input_ids") for key in batch) == columns
