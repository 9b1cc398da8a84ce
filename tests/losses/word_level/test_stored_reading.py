"""What a teacher computed comes back from the store as it was, and the teacher is not asked again."""

from __future__ import annotations

import pytest
import torch

from st_mta.losses import AttentionMSELoss, HiddenStateMSELoss, MultiLevelDistillationLoss
from st_mta.stores import Store
from tests.losses.word_level.bpe import bpe_cross_encoder
from tests.losses.word_level.test_word_level import columns, flat
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer

TEACHERS = {
    "word pieces": lambda: tiny_cross_encoder(seed=3, layers=3, dim=48),
    "bytes": bpe_cross_encoder,
    "bi-encoder": lambda: tiny_sentence_transformer(seed=3, layers=3, dim=48),
}
LOSSES = {
    "interaction": lambda *models, **options: AttentionMSELoss(*models, **options),
    "self": lambda *models, **options: AttentionMSELoss(*models, variant="self", layers="uniform", **options),
    "relation": lambda *models, **options: AttentionMSELoss(*models, variant="relation", **options),
    "hidden": lambda *models, **options: HiddenStateMSELoss(*models, layers="uniform", **options),
}
CASES = [(kind, name) for kind in LOSSES for name in TEACHERS if kind == "hidden" or name != "bi-encoder"]


def make(kind, student, teacher, store=None):
    torch.manual_seed(0)  # the same projection every time
    return LOSSES[kind](student, teacher=teacher, num_candidates=None, store=store)


def value_and_gradient(loss, student, batch):
    loss.zero_grad()
    value = loss(*batch)
    value.backward()
    return value.detach(), torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_the_store_gives_the_live_value(student, tmp_path, monkeypatch, kind, name):
    teacher = TEACHERS[name]()
    batch, other_batch = (columns(student),), flat(student)
    live, gradient = value_and_gradient(make(kind, student, teacher), student, batch)
    stored = make(kind, student, teacher, Store(tmp_path))
    torch.testing.assert_close(value_and_gradient(stored, student, batch), (live, gradient), rtol=1e-4, atol=1e-6)
    again = make(kind, student, teacher, Store(tmp_path))
    # Another order, other padding, another process: the same rows of tokens.
    for loss in (stored, again):
        monkeypatch.setattr(loss, "_read_live", lambda rows: pytest.fail("the teacher was asked again"))
        torch.testing.assert_close(loss(*other_batch).detach(), live, rtol=1e-4, atol=1e-6)


def test_only_rows_that_are_not_there_are_read(student, tmp_path, monkeypatch):
    teacher = tiny_cross_encoder(seed=3, layers=3, dim=48)
    loss, read = make("hidden", student, teacher, Store(tmp_path)), []
    live = loss._read_live
    monkeypatch.setattr(loss, "_read_live", lambda rows: (read.append(len(rows["input_ids"])), live(rows))[1])
    texts = ["the bird eats a fish", "light", "a cat"]
    for queries in (["cat", "cat", "dog"], ["cat", "sea", "dog"]):
        loss([student.preprocess(column) for column in (queries, [texts[0], texts[0], texts[2]])])
    assert read == [2, 1]


def test_other_weights_are_another_teacher(student, tmp_path):
    first, second = (tiny_cross_encoder(seed=seed, layers=3, dim=48) for seed in (3, 4))
    values = [
        make("interaction", student, teacher, Store(tmp_path))(columns(student)).item() for teacher in (first, second)
    ]
    live = make("interaction", student, second)(columns(student)).item()
    assert values[1] == pytest.approx(live) and values[0] != pytest.approx(live)
    contents = Store(tmp_path).contents()
    assert {scorer.kind for scorer in contents} == {"token states"} and len(contents) == 2


def test_a_damaged_part_is_computed_again_and_a_cleared_store_filled_again(student, tmp_path):
    teacher = tiny_cross_encoder(seed=3, layers=3, dim=48)
    store = Store(tmp_path)
    value = make("self", student, teacher, store)(columns(student)).item()
    (part,) = tmp_path.rglob("part-*")
    store.tensors.forget()
    part.write_bytes(b"damaged")
    assert make("self", student, teacher, Store(tmp_path))(columns(student)).item() == pytest.approx(value)
    assert store.clear() > 0
    assert make("self", student, teacher, store)(columns(student)).item() == pytest.approx(value)


def test_losses_with_one_teacher_share_what_is_stored(student, tmp_path):
    teacher = tiny_cross_encoder(seed=3, layers=3, dim=48)
    store = Store(tmp_path)
    word = {kind: make(kind, student, teacher, store) for kind in ("interaction", "hidden")}
    loss = MultiLevelDistillationLoss(student, word=word)
    loss(columns(student), torch.zeros(3, 2))
    assert len(list(tmp_path.rglob("part-*"))) == 1
