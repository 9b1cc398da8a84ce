"""Inputs that do not fit are refused with both shapes and the way out."""

from __future__ import annotations

import pytest
import torch

from st_mta.errors import InputError
from st_mta.losses.batch import read_batch
from tests.losses.conftest import column_batch, flat_batch


@pytest.mark.parametrize("shape", [(4, 6), (3, 5), (4, 2, 4), (4,), (4, 5, 1), (4, 1, 2, 5)])
def test_a_label_of_another_shape_is_refused(shape):
    embeddings, _ = column_batch(0, batch=4, width=5)
    with pytest.raises(InputError) as refusal:
        read_batch(embeddings, torch.zeros(shape))
    for part in ("(B, N) = (4, 5)", "(B, S, N) = (4, S, 5)", f"a label {shape}", "one score per candidate column"):
        assert part in str(refusal.value)


def test_no_label_is_refused():
    with pytest.raises(InputError, match="no label"):
        read_batch(column_batch(0)[0], None)


def test_one_candidate_is_refused_in_both_forms():
    embeddings, label = column_batch(0)
    with pytest.raises(InputError, match="at least two candidates per query, got 1"):
        read_batch(embeddings[:2], label[..., :1])
    flat = flat_batch(0)
    label = {"scores": flat.scores[..., :1], "index": flat.index[:, :1], "positive": flat.positive[:, :1]}
    with pytest.raises(InputError, match="at least two candidates per query, got 1"):
        read_batch(flat.embeddings, label)


@pytest.mark.parametrize("missing", ["scores", "index", "positive"])
def test_a_missing_key_is_refused(missing):
    flat = flat_batch(0)
    label = {key: value for key, value in flat.label.items() if key != missing}
    with pytest.raises(InputError, match="2 columns and the keys " + ", ".join(label)):
        read_batch(flat.embeddings, label)


def test_a_flat_label_without_documents_is_refused():
    flat = flat_batch(0)
    with pytest.raises(InputError, match="got 1 columns"):
        read_batch([flat.queries], flat.label)


def test_documents_may_be_spread_over_several_columns():
    flat = flat_batch(0)
    one, several = (read_batch([flat.queries, *flat.documents.split(size)], flat.label) for size in (14, 5))
    assert torch.equal(one.documents, several.documents) and torch.equal(one.index, several.index)


@pytest.mark.parametrize("key", ["scores", "index", "positive"])
def test_a_flat_label_of_another_shape_is_refused(key):
    flat = flat_batch(0)
    for narrowed in (flat.label[key][..., :4], flat.label[key][:4], flat.label[key][None], flat.label[key].flatten()):
        with pytest.raises(InputError, match=r"scores \(5, S, N\), index \(5, N\)"):
            read_batch(flat.embeddings, {**flat.label, key: narrowed})


def test_a_flat_label_may_have_one_scorer_without_its_axis():
    flat = flat_batch(0, scorers=1)
    batch = read_batch(flat.embeddings, {**flat.label, "scores": flat.scores[:, 0]})
    assert batch.scores.shape == (5, 1, 6)


def test_padding_never_hides_a_candidate_of_the_first_document():
    # Padding is looked up as document 0, but must not overwrite the flags of its real candidate.
    flat = flat_batch(0, batch=2, width=3, documents=4)
    flat.index = torch.tensor([[0, 1, -1], [2, 3, -1]])
    flat.scores = torch.zeros(2, 2, 3)
    batch = read_batch(flat.embeddings, {**flat.label, "positive": torch.tensor([[True, False, False]] * 2)})
    assert batch.over_documents(batch.mask).tolist() == [[True, True, False, False], [False, False, True, True]]
    assert batch.over_documents(batch.positive).tolist() == [[True, False, False, False], [False, False, True, False]]
