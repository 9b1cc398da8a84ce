"""Tokens of student and teacher that cover the same text find each other, whatever stands around them."""

from __future__ import annotations

import pytest
import torch

from st_mta.errors import InputError
from st_mta.losses.word_level.alignment import Alignment, align
from st_mta.losses.word_level.pairs import candidate_pairs, layer_map
from st_mta.losses.word_level.recorded import Recorded
from st_mta.losses.word_level.student_pass import Side, text_tokens
from st_mta.losses.word_level.teacher_reader import TeacherReader
from tests import reference
from tests.losses.word_level.bpe import bpe_cross_encoder
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer, tiny_tokenizer

QUERIES = ["what eats fish, zebra", "cat"]
PASSAGES = ["the bird (blue) eats fish", "old xylo cat, sun"]


@pytest.fixture(scope="module")
def teachers():
    return {"same": tiny_cross_encoder(seed=3), "bpe": bpe_cross_encoder()}


def side(texts, *, padding="right", prompt=""):
    student = tiny_sentence_transformer(prompts={"p": prompt})
    student.tokenizer.padding_side = padding
    features = student.preprocess(texts, prompt=prompt or None)
    return Side(features["input_ids"], text_tokens(student.tokenizer, features), Recorded())


def read_pairs(teacher, padding, prompt):
    reader = TeacherReader(teacher, tiny_tokenizer())
    sides = [side(texts, padding=padding, prompt=prompt) for texts in (QUERIES, PASSAGES)]
    rows = [torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1])]
    given = reader.read(sides, rows)
    return reader, given, rows, aligned_words(reader, given, sides, rows)


def spelled(tokenizer, ids):
    return [tokenizer.decode([i]).strip().removeprefix("##") for i in ids]


def aligned_words(reader, given, sides, rows):
    """For every student's token of every text: what it spells, and what the teacher's tokens beside it spell."""
    found = []
    for number, (of_side, row, alignment) in enumerate(zip(sides, rows, given.alignments)):
        for p, r in enumerate(row.tolist()):
            mine = spelled(reader.student_tokenizer, of_side.input_ids[r].tolist())
            theirs = spelled(reader.tokenizer, given.features["input_ids"][p].tolist())
            for i, shared in enumerate(alignment.shared[p]):
                if of_side.text[r, i]:
                    found.append((number, p, mine[i], [theirs[t] for t in shared.nonzero().flatten().tolist()]))
    return found


# --- weights ------------------------------------------------------------------------------------------------------


def test_shared_text_is_counted():
    generator = torch.Generator().manual_seed(0)
    spans = [torch.randint(0, 9, (2, n, 2), generator=generator).sort(dim=-1).values for n in (4, 6)]
    for p, shared in enumerate(align(*spans).shared):
        assert shared.tolist() == reference.shared_characters(spans[0][p].tolist(), spans[1][p].tolist())


def test_rows_are_averaged_and_masses_shared_out():
    # The teacher's middle token covers one character of the student's first token and three of its second.
    alignment = Alignment(torch.tensor([[[2.0, 1.0, 0.0, 0.0], [0.0, 3.0, 1.0, 0.0]]]))
    states = torch.tensor([[[3.0], [6.0], [1.0], [100.0]]])
    torch.testing.assert_close(alignment.average(states), torch.tensor([[[4.0], [4.75]]]))
    masses = torch.tensor([[[0.2, 0.4, 0.4, 0.0]]])
    torch.testing.assert_close(alignment.collect(masses), torch.tensor([[[0.3, 0.7]]]))
    assert alignment.compared.tolist() == [[True, True]]
    assert alignment.compared_by_teacher.tolist() == [[True, True, True, False]]


# --- equal tokenizers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("prompt", ["", "the query: "])
def test_the_teacher_reads_what_it_would_read_from_the_texts(teachers, padding, prompt):
    reader, given, rows, words = read_pairs(teachers["same"], padding, prompt)
    expected = teachers["same"].preprocess([(QUERIES[q], PASSAGES[d]) for q, d in zip(*(r.tolist() for r in rows))])
    assert reader.same
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        assert torch.equal(given.features[name], expected[name])
    assert len(words) > 30 and all(theirs == [mine] for _, _, mine, theirs in words)


def test_single_texts(teachers):
    reader = TeacherReader(teachers["same"], tiny_tokenizer())
    given = reader.read([side(PASSAGES)], [torch.arange(2)])
    expected = tiny_sentence_transformer().preprocess(PASSAGES)
    assert torch.equal(given.features["input_ids"], expected["input_ids"])
    assert len(given.alignments) == 1


@pytest.mark.parametrize(
    ("words", "kept"), [((3, 40), (3, 14)), ((40, 3), (14, 3)), ((40, 40), (8, 9)), ((2, 3), (2, 3))]
)
def test_the_longer_text_is_cut(words, kept):
    teacher = tiny_cross_encoder()
    teacher.max_seq_length = 20
    sides = [side([" ".join(["cat"] * n)]) for n in words]
    given = TeacherReader(teacher, tiny_tokenizer()).read(sides, [torch.tensor([0])] * 2)
    assert given.features["input_ids"].shape[1] <= 20
    assert tuple(int(alignment.compared.sum()) for alignment in given.alignments) == kept


# --- different tokenizers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("prompt", ["", "the query: "])
def test_different_tokens_meet_where_they_cover_the_same_letters(teachers, padding, prompt):
    reader, given, _, words = read_pairs(teachers["bpe"], padding, prompt)
    assert not reader.same and "token_type_ids" not in given.features
    for _, _, mine, theirs in words:
        together = "".join(theirs)
        assert mine in together or together in mine, (mine, theirs)
    # Some words of the student are several tokens of the teacher, and the other way round.
    assert any(len(theirs) > 1 for *_, theirs in words)
    texts = [reader.tokenizer.decode(ids, skip_special_tokens=True) for ids in given.features["input_ids"]]
    assert "query" not in "".join(texts)
    assert texts[0].replace(" ", "") == (QUERIES[0] + PASSAGES[0]).replace(" ", "")


def test_special_tokens_share_nothing(teachers):
    for teacher in teachers.values():
        sides = [side(QUERIES), side(PASSAGES)]
        given = TeacherReader(teacher, tiny_tokenizer()).read(sides, [torch.arange(2)] * 2)
        special = torch.isin(given.features["input_ids"], torch.tensor(teacher.tokenizer.all_special_ids))
        for alignment, of_side in zip(given.alignments, sides):
            assert not alignment.compared_by_teacher[special].any()
            assert torch.equal(alignment.compared, of_side.text)


def test_an_unknown_word_is_text_for_both(teachers):
    of_side = side(["a \u4e2d cat"])
    assert int(of_side.text.sum()) == 3
    for teacher in teachers.values():
        given = TeacherReader(teacher, tiny_tokenizer()).read([of_side], [torch.tensor([0])])
        assert torch.equal(given.alignments[0].compared, of_side.text)


def test_tokens_that_read_back_differently_align_up_to_there(teachers):
    of_side = side(["cat dog bird"])
    inside = tiny_tokenizer().convert_tokens_to_ids("##x")
    of_side.input_ids[0, 2:4] = inside  # "cat##x##x" reads as "cat" "##x" "##x": the same
    of_side.input_ids[0, 1] = inside  # but "##x##x##x" reads as "x" ...
    given = TeacherReader(teachers["bpe"], tiny_tokenizer()).read([of_side], [torch.tensor([0])])
    assert not given.alignments[0].compared.any()


def test_slow_tokenizers_of_other_words_are_refused(teachers):
    class Slow:
        is_fast = False

        def get_vocab(self):
            return {}

    with pytest.raises(InputError, match="two fast tokenizers"):
        TeacherReader(teachers["bpe"], Slow())


# --- layers and pairs ---------------------------------------------------------------------------------------------


def test_layer_maps():
    assert layer_map("last", 3, 12) == [(3, 12)]
    assert layer_map("uniform", 3, 12) == [(1, 4), (2, 8), (3, 12)]
    assert layer_map("uniform", 2, 5) == [(1, 3), (2, 5)]
    assert layer_map("uniform", 4, 1) == [(1, 1), (2, 1), (3, 1), (4, 1)]
    assert layer_map([(1, 2), (3, 2)], 3, 2) == [(1, 2), (3, 2)]


@pytest.mark.parametrize("layers", ["first", [], [(0, 1)], [(1, 0)], [(4, 1)], [(1, 13)], [(1,)]])
def test_layers_that_are_not_there_are_refused(layers):
    with pytest.raises(InputError, match="count layers from 1"):
        layer_map(layers, 3, 12)


def test_pairs_of_columns_and_of_the_flat_form():
    def pairs(*arguments):
        return list(zip(*(side.tolist() for side in candidate_pairs(*arguments, torch.device("cpu")))))

    assert pairs(2, 6, None, 1) == [(0, 0), (1, 1)]
    assert pairs(2, 6, None, None) == [(0, 0), (0, 2), (0, 4), (1, 1), (1, 3), (1, 5)]
    flat = {
        "index": torch.tensor([[3, 4, 0], [2, -1, -1]]),
        "positive": torch.tensor([[False, False, True], [False, False, False]]),
    }
    assert pairs(2, 5, flat, 1) == [(0, 0), (1, 2)]
    assert pairs(2, 5, flat, 2) == [(0, 0), (0, 3), (1, 2)]
    with pytest.raises(InputError, match="document columns of 2 rows"):
        pairs(2, 5, None, 1)
