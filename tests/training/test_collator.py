"""Each distinct passage of a batch is encoded once, and the index finds it again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from st_mta.losses import ListwiseKLLoss
from st_mta.scored import ScoredCandidates
from st_mta.stores.embeddings import Embeddings
from st_mta.training.collator import FlatDocumentsCollator, _columns, listwise_dataset
from st_mta.types import Candidates, Texts
from tests.tiny import tiny_sentence_transformer

CORPUS = Texts.from_dict(
    {f"p{i}": text for i, text in enumerate(["the cat", "a dog runs fast", "sun", "the old ship is slow", "bread"])}
)
QUERIES = Texts.from_dict({"q0": "cat", "q1": "who runs fast"})
LISTS = Candidates(
    queries=np.array([0, 1]),
    offsets=np.array([0, 3, 5]),
    passages=np.array([0, 3, 1, 1, 2]),
    positive=np.array([True, False, False, True, False]),
    source=np.zeros(5, dtype=np.int64),
    sources=("qrels",),
)
SCORES = np.array([[3.0, 1.0, 0.5, 2.0, -1.0], [1.0, 2.0, 3.0, 4.0, 5.0]], dtype=np.float32)
SCORED = ScoredCandidates(LISTS, SCORES, ("T", "A"))


@pytest.fixture(scope="module")
def student():
    return tiny_sentence_transformer(1)


def batch_of(student, per_forward):
    rows = list(listwise_dataset(SCORED, QUERIES))
    collator = FlatDocumentsCollator(student.preprocess, corpus=CORPUS, documents_per_forward=per_forward)
    return collator(rows)


@pytest.mark.parametrize("per_forward", [None, 2, 1])
def test_index_finds_the_text_of_every_candidate(student, per_forward):
    batch = batch_of(student, per_forward)
    columns = sorted({key.rsplit("_input_ids", 1)[0] for key in batch if key.endswith("_input_ids")} - {"query"})
    texts = [t for column in columns for t in student.tokenizer.batch_decode(batch[f"{column}_input_ids"], True)]
    assert len(texts) == 4  # passages 0, 1, 2, 3; passage 1 stands in both lists
    label = batch["label"]
    seen = [[texts[i] for i in row if i >= 0] for row in label["index"].tolist()]
    assert seen == [["the cat", "the old ship is slow", "a dog runs fast"], ["a dog runs fast", "sun"]]
    assert label["index"][1, 2] == -1 and label["scores"].shape == (2, 2, 3)
    assert label["scores"][1, :, 1].tolist() == [-1.0, 5.0] and label["scores"][1, :, 2].isnan().all()
    assert label["positive"].tolist() == [[True, False, False], [True, False, False]]


@pytest.mark.parametrize(
    ("columns", "expected"), [(1, [4]), (2, [2, 2]), (3, [2, 2]), (4, [1, 1, 1, 1]), (9, [1, 1, 1, 1])]
)
def test_passages_go_into_columns_of_as_many_texts(student, columns, expected):
    collator = FlatDocumentsCollator(student.preprocess, corpus=CORPUS, columns=columns)
    batch = collator(list(listwise_dataset(SCORED, QUERIES)))
    found = [batch[key] for key in sorted(batch) if key.startswith("documents") and key.endswith("_attention_mask")]
    assert [len(mask) for mask in found] == expected
    lengths = torch.cat([mask.sum(dim=1) for mask in found])
    assert (lengths.diff() >= 0).all()


def test_spreading_over_columns_changes_no_value_and_no_gradient(student):
    from sentence_transformers import SentenceTransformerTrainer

    values = []
    for per_forward in (None, 1, 2):
        features, label = SentenceTransformerTrainer.collect_features(None, batch_of(student, per_forward))
        student.zero_grad()
        loss = ListwiseKLLoss(student, contrastive_weight=0.3)(features, label)
        loss.backward()
        values.append((loss.item(), torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])))
    for value, gradient in values[1:]:
        assert value == pytest.approx(values[0][0], abs=1e-5)
        torch.testing.assert_close(gradient, values[0][1], atol=1e-4, rtol=1e-3)


def test_prompts_of_the_documents_reach_every_column(student):
    rows = list(listwise_dataset(SCORED, QUERIES))
    collator = FlatDocumentsCollator(
        student.preprocess, corpus=CORPUS, documents_per_forward=2, prompts={"documents": "good ", "query": "bad "}
    )
    batch = collator(rows)
    for column, prompt in (("query", "bad"), ("documents_0", "good"), ("documents_1", "good")):
        assert all(t.startswith(prompt) for t in student.tokenizer.batch_decode(batch[f"{column}_input_ids"], True))


def stored(rows):
    rows = np.asarray(rows, dtype=np.float32)
    return Embeddings((rows,), np.zeros(len(rows), dtype=np.int64), np.arange(len(rows)))


@pytest.mark.parametrize("per_forward", [None, 2])
def test_targets_are_those_of_the_batchs_texts_in_their_order(student, per_forward):
    targets = {"query": stored([[10.0, 1], [11, 1]]), "documents": stored([[place, 0.5] for place in range(5)])}
    rows = list(listwise_dataset(SCORED.select(np.array([1, 0])), QUERIES))
    label = FlatDocumentsCollator(
        student.preprocess, corpus=CORPUS, documents_per_forward=per_forward, targets=targets
    )(rows)["label"]
    assert label["query_targets"].tolist() == [[11, 1], [10, 1]]
    positions = [[int(label["document_targets"][i, 0]) for i in row if i >= 0] for row in label["index"].tolist()]
    assert positions == [[1, 2], [0, 3, 1]] and label["document_targets"].shape == (4, 2)


def test_the_label_holds_the_grades_of_the_positives(student):
    lists = replace(LISTS, grades=np.array([3, 0, 0, 2, 0]))
    rows = list(listwise_dataset(ScoredCandidates(lists, SCORES, ("T", "A")), QUERIES))
    label = FlatDocumentsCollator(student.preprocess, corpus=CORPUS)(rows)["label"]
    assert label["grades"].tolist() == [[3, 0, 0], [2, 0, 0]]
    assert batch_of(student, None)["label"]["grades"].tolist() == [[1, 0, 0], [1, 0, 0]]


def test_without_targets_the_label_has_none(student):
    assert set(batch_of(student, None)["label"]) == {"scores", "index", "positive", "grades", "document_ids"}


def test_a_copy_of_a_positive_is_the_same_document(student):
    """q1's list holds q0's positive under another id: in the batch it is no negative of q0."""
    corpus = Texts.from_dict({"p0": "the cat", "p1": "a dog", "p2": "the  cat", "p3": "bread"})
    lists = replace(LISTS, passages=np.array([0, 1, 3, 1, 2]), positive=np.array([True, False, False, True, False]))
    rows = list(listwise_dataset(ScoredCandidates(lists, SCORES, ("T", "A")), QUERIES))
    batch = FlatDocumentsCollator(student.preprocess, corpus=corpus)(rows)
    index = batch["label"]["index"]
    assert len(batch["documents_0_input_ids"]) == 3 and index[0, 0] == index[1, 1]


@pytest.mark.parametrize(
    ("lengths", "columns"),
    [([3, 3, 3], [3]), ([5, 6, 7, 20], [4]), ([2] * 50 + [60, 64], [44, 8]), ([1], [1]), ([], [])],
)
def test_few_longer_passages_have_a_column_of_their_own(lengths, columns):
    found = _columns(np.arange(len(lengths)), np.array(lengths, dtype=np.int64), None)
    assert [len(column) for column in found] == columns
    assert np.concatenate([*found, []]).tolist() == list(range(len(lengths)))


def test_what_the_teacher_says_is_in_the_order_of_the_columns(student):
    class Teacher:
        def prepare(self, queries, documents):
            self.known = queries.tolist(), documents.tolist()

        def __call__(self, queries, documents):
            return {"teacher_queries": torch.from_numpy(queries), "teacher_documents": torch.from_numpy(documents)}

    dataset = listwise_dataset(SCORED, QUERIES)
    collator = FlatDocumentsCollator(student.preprocess, corpus=CORPUS, documents_per_forward=2, teacher=Teacher())
    collator.tokenise(dataset)
    label = collator(list(dataset)[::-1])["label"]
    assert collator.teacher.known == ([0, 1], [0, 1, 2, 3])
    assert label["teacher_queries"].tolist() == [1, 0]
    assert label["teacher_documents"].tolist() == label["document_ids"].tolist() == [2, 0, 1, 3]


def test_windows_say_which_document_they_are_of(student):
    """Documents of two windows; "sun" is a window of two, and a positive in the second."""
    corpus = Texts.from_dict(
        {f"w{i}": text for i, text in enumerate(["the cat", "sun", "bread milk", "sun", "a dog"])}
    )
    lists = replace(LISTS, passages=np.array([0, 4, 1, 3, 0]), positive=np.array([True, False, False, True, False]))
    rows = list(listwise_dataset(ScoredCandidates(lists, SCORES, ("T", "A")), QUERIES))
    label = FlatDocumentsCollator(student.preprocess, corpus=corpus, judged_as=np.array([0, 0, 2, 2, 4]))(rows)[
        "label"
    ]
    assert dict(zip(label["document_ids"].tolist(), label["document_groups"].tolist())) == {0: 0, 1: 2, 4: 4}
