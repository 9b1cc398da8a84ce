"""Labels lead every text of a dataset to its own target, and nothing of the targets' size lies in the dataset."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict, IterableDataset

from st_mta.errors import InputError
from st_mta.losses import EmbeddingDistillationLoss
from st_mta.losses.embedding.fitting import MOST_TEXTS, moments_of
from st_mta.losses.embedding.labelling import roles_of
from st_mta.procrustes import fit_procrustes
from tests.losses.embedding.conftest import TEXTS, units

QUERIES, PASSAGES = [*TEXTS[:19], TEXTS[0]], [*TEXTS[20:39], TEXTS[1]]


def pairs(**more):
    return Dataset.from_dict({"query": QUERIES, "positive": PASSAGES, **more})


@pytest.fixture
def loss(student, wide):
    wide.prompts = {"query": "what is ", "document": ""}
    return EmbeddingDistillationLoss(student, teachers=wide)


def targets_of(loss, label):
    """(n, D) what the loss looks up for row numbers (n,)."""
    return loss._look_up(torch.tensor(label)).numpy()


def test_every_text_finds_its_own_target_in_its_role(loss, wide):
    label = loss.label(pairs())["label"][:]
    columns = [targets_of(loss, [row[column] for row in label]) for column in range(2)]
    assert np.allclose(columns[0], units(wide.encode_query(QUERIES)), atol=1e-5)
    assert np.allclose(columns[1], units(wide.encode_document(PASSAGES)), atol=1e-5)


def test_equal_texts_share_a_row_within_a_role_and_not_across(loss):
    label = loss.label(pairs())["label"][:]
    assert label[19][0] == label[0][0]
    assert {row[0] for row in label} == set(range(19))  # queries first, then documents
    assert {row[1] for row in label} == set(range(19, 39))


def test_columns_of_one_role_have_their_rows_each(loss, wide):
    label = loss.label(Dataset.from_dict({"positive": PASSAGES[:5], "negative": TEXTS[40:45]}))["label"][:]
    for column, texts in enumerate((PASSAGES[:5], TEXTS[40:45])):
        rows = targets_of(loss, [row[column] for row in label])
        assert np.allclose(rows, units(wide.encode_document(texts)), atol=1e-5)


def test_the_student_reads_each_role_with_its_own_prompt(student, wide):
    student.prompts = {"query": "what is ", "document": ""}
    found = []
    for role, encode in (("query", student.encode_query), ("document", student.encode_document)):
        loss = EmbeddingDistillationLoss(student)
        loss.fit(TEXTS, wide.encode(TEXTS), role)
        found.append(loss.map.matrix.numpy())
        assert np.allclose(found[-1], fit_procrustes(wide.encode(TEXTS), encode(TEXTS)), atol=1e-4)
    assert not np.allclose(*found, atol=1e-2)


def test_one_column_has_plain_numbers(loss, wide):
    dataset = loss.label(Dataset.from_dict({"text": TEXTS}))
    assert dataset["label"][:] == list(range(60))
    assert np.allclose(targets_of(loss, dataset["label"][:]), units(wide.encode_document(TEXTS)), atol=1e-5)


def test_roles_by_name_and_by_word(loss):
    dataset = pairs(anchor=TEXTS[:20], title=TEXTS[:20])
    assert list(roles_of(dataset, None).values()) == ["query", "document", "query", "document"]
    assert roles_of(dataset, {"title": "query"})["title"] == "query"
    with pytest.raises(InputError, match="role of column 'title' to be one of query, document"):
        roles_of(dataset, {"title": "answer"})
    with pytest.raises(InputError, match="a column of texts to be one of query, positive, anchor, title"):
        roles_of(dataset, {"score": "query"})


def test_other_labels_make_room_and_other_columns_stay(loss):
    dataset = loss.label(pairs(score=[0.5] * 20, label=[1] * 20, number=list(range(20))))
    assert dataset.column_names == ["query", "positive", "number", "label"]
    assert dataset["number"][:] == list(range(20)) and len(dataset["label"][0]) == 2


def test_a_shuffled_part_of_a_dataset(loss, wide):
    dataset = loss.label(pairs().shuffle(seed=1).select(range(7)))
    rows = [row[1] for row in dataset["label"][:]]
    assert np.allclose(targets_of(loss, rows), units(wide.encode_document(dataset["positive"][:])), atol=1e-5)


def test_a_second_dataset_and_a_dictionary_of_them_continue_the_rows(loss, wide):
    train = loss.label(pairs())
    matrix = loss.map.matrix.clone()
    both = loss.label(DatasetDict(dev=pairs().select(range(5)), test=Dataset.from_dict({"text": TEXTS})))
    assert isinstance(both, DatasetDict) and torch.equal(loss.map.matrix, matrix)
    assert min(row[0] for row in both["dev"]["label"][:]) == 39
    for dataset, column in ((train, "positive"), (both["dev"], "positive"), (both["test"], "text")):
        rows = [row if column == "text" else row[1] for row in dataset["label"][:]]
        assert np.allclose(targets_of(loss, rows), units(wide.encode_document(dataset[column][:])), atol=1e-5)


def test_a_stream_gets_the_embeddings_as_it_comes_by(loss, wide):
    dataset = loss.label(pairs(score=[1.0] * 20).to_iterable_dataset(), batch_size=6)
    rows = list(dataset)
    assert len(rows) == 20 and set(rows[0]) == {"query", "positive", "label"}
    label = np.array([row["label"] for row in rows])
    assert np.allclose(label[:, 0], units(wide.encode_query(QUERIES)), atol=1e-5)
    assert np.allclose(label[:, 1], units(wide.encode_document(PASSAGES)), atol=1e-5)
    assert loss.map.matrix.shape == (48, 32)


def test_a_stream_of_one_column_without_stated_features(loss):
    stream = IterableDataset.from_generator(lambda: ({"text": text, "n": 1} for text in TEXTS))
    assert np.array([row["label"] for row in loss.label(stream)]).shape == (60, 48)


def test_the_map_is_that_of_fit_and_fitted_on_some_when_there_are_very_many(student, wide, monkeypatch):
    labelled, by_hand = (EmbeddingDistillationLoss(student, teachers=wide) for _ in range(2))
    labelled.label(Dataset.from_dict({"text": TEXTS}))
    share = by_hand.fit(TEXTS, units(wide.encode_document(TEXTS)))
    torch.testing.assert_close(labelled.map.matrix, by_hand.map.matrix, atol=1e-5, rtol=0)
    assert 0.5 < share <= 1
    asked = []

    def targets(at):
        asked.extend(at.tolist())
        return np.ones((len(at), 3), dtype=np.float32)

    monkeypatch.setattr("st_mta.losses.embedding.fitting.MOST_TEXTS", 20)
    assert moments_of(student, [("document", 60, lambda at: ["a"] * len(at), targets)]).count == 20 < MOST_TEXTS
    assert asked == list(range(0, 60, 3))


def test_no_map_is_fitted_where_none_is_wanted(student, wide):
    loss = EmbeddingDistillationLoss(student, teachers=wide, map="none", terms={"gram": 1.0})
    loss.label(pairs())
    assert loss.map.matrix is None


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Dataset.from_dict({"number": [1], "label": ["a"]}), "at least one column of texts"),
        (Dataset.from_dict({"text": ["a", None]}), "a text in every row of text, got 1 without"),
    ],
)
def test_what_holds_no_texts_is_refused(loss, dataset, message):
    with pytest.raises(InputError, match=message):
        loss.label(dataset)


def test_an_empty_dataset_stays_empty(loss):
    assert len(loss.label(pairs().select([]))) == 0 and not loss.map.ready


def test_without_teachers_there_is_nothing_to_ask(student):
    with pytest.raises(InputError, match="a loss with teachers"):
        EmbeddingDistillationLoss(student).label(pairs())


def test_labels_of_another_loss_are_refused(loss):
    loss.label(pairs().select(range(3)))
    with pytest.raises(InputError, match="row numbers below 6 as label, got 6 to 6"):
        targets_of(loss, [6])


def rows_without(place):
    return [{"query": text, "positive": None if at == place else text} for at, text in enumerate(TEXTS)]


@pytest.mark.parametrize("ready", [False, True])
def test_a_text_that_is_missing_in_a_stream_is_refused(loss, ready):
    if ready:
        loss.label(pairs())
    stream = Dataset.from_list(rows_without(40)).to_iterable_dataset()
    with pytest.raises(InputError, match="a text in every row of positive, got 1 without"):
        list(loss.label(stream))
