"""Several teachers as one, and every text asked for once."""

from __future__ import annotations

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.losses.embedding.teachers import Teachers, table_of
from st_mta.scorers import BiEncoderScorer
from st_mta.stores import Store
from tests.losses.embedding.conftest import TEXTS, normal, units


class Counted:
    """A function as teacher that says what it was asked."""

    fingerprint = "counted-1"

    def __init__(self):
        self.asked = []

    def __call__(self, texts, role):
        self.asked += [(role, text) for text in texts]
        return np.array([[len(text), len(role), 1.0] for text in texts])


def test_fusing_by_hand():
    fused = Teachers([Counted(), Counted()], [1, 3], None).fuse([np.array([[3.0, 4.0]]), np.array([[0.0, 0.0, 2.0]])])
    assert np.allclose(fused, [[0.5 * 0.6, 0.5 * 0.8, 0, 0, np.sqrt(0.75)]])


def test_similarities_of_the_fused_are_the_weighted_means(teachers):
    fused = Teachers(teachers, [2.0, 1.0], None).encode(TEXTS, "document")
    one, two = (units(teacher.encode_document(TEXTS)) for teacher in teachers)
    assert fused.shape == (60, 72)
    assert np.allclose(fused @ fused.T, 2 / 3 * one @ one.T + 1 / 3 * two @ two.T, atol=1e-5)


def test_lengths_of_a_teacher_do_not_weigh():
    rows = [normal(5, 3).numpy(), normal(5, 4).numpy()]
    teachers = Teachers([Counted(), Counted()], None, None)
    assert np.allclose(teachers.fuse([7 * rows[0], rows[1]]), teachers.fuse(rows), atol=1e-6)
    assert np.isfinite(teachers.fuse([0 * rows[0], 0 * rows[1]])).all()


def test_a_text_is_encoded_once_per_role_whatever_asks(tmp_path):
    for number in range(2):
        teacher = Counted()
        teachers = Teachers([teacher], None, Store(tmp_path))
        for texts in (["a", "b"], ["b", "c", "c"]):
            assert len(teachers.encode(texts, "query")) == len(texts)
        teachers.embed(table_of(["a", "b", "c"]), "query")
        expected = [("query", text) for text in "abc"] if number == 0 else []
        assert sorted(teacher.asked) == expected
    teachers.encode(["a"], "document")
    assert teacher.asked == [("document", "a")]


def test_without_a_store_a_stream_leaves_nothing_behind():
    teacher = Counted()
    teachers = Teachers([teacher], None, None)
    teachers.encode(["a"], "query")
    teachers.encode(["a"], "query")
    assert len(teacher.asked) == 2 and not teachers.store.contents()


def test_a_scorer_keeps_its_own_store_and_prompts_are_those_of_the_role(wide, tmp_path):
    wide.prompts = {"query": "what is ", "document": ""}
    scorer = BiEncoderScorer(wide, name="wide", store=Store(tmp_path))
    for kept in (None, Store(tmp_path / "other")):
        of_scorer, of_model = (Teachers([one], None, kept).encode(TEXTS[:5], "query") for one in (scorer, wide))
        assert np.allclose(of_scorer, of_model, atol=1e-5)
    assert not np.allclose(of_model, Teachers([wide], None, None).encode(TEXTS[:5], "document"), atol=1e-2)
    assert [one.name for one in Store(tmp_path).contents()] == ["wide"]
    assert Teachers([scorer], None, None).names == ["wide"]


@pytest.mark.parametrize(
    ("teachers", "weights", "message"),
    [
        ([], None, "at least one teacher"),
        ([Counted()], [1, 2], "1 teachers and 2 weights"),
        ([Counted(), Counted()], [1, -1], "not negative"),
        ([Counted(), Counted()], [0, 0], "not negative"),
        ([len], None, "`fingerprint`"),
        (["minilm"], None, "got a str"),
    ],
)
def test_what_cannot_teach_is_refused(teachers, weights, message):
    with pytest.raises(InputError, match=message):
        Teachers(teachers, weights, None)
