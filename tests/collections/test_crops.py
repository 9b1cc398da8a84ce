from __future__ import annotations

import unicodedata

import pytest

from st_mta.collections import crop_queries, from_dictionaries
from st_mta.errors import InputError
from st_mta.types import Collection


def words_from(first: int, count: int) -> str:
    return " ".join(f"w{first}.{i}" for i in range(count))


def source(query_id: str) -> str:
    return query_id.split(":")[1]


@pytest.fixture
def collection() -> Collection:
    corpus = {
        "short": words_from(0, 7),
        "eight": words_from(1, 8),
        "forty": words_from(2, 40),
        "ten": words_from(3, 10),
    }
    return from_dictionaries("numbers", corpus, {"q": "a query"}, {"test": {"q": {"ten": 1}}})


def test_spans_are_contiguous_and_at_most_half_of_their_passage(collection: Collection) -> None:
    cropped = crop_queries(collection, 200, seed=0)
    lengths = {"eight": set(), "forty": set(), "ten": set()}
    for query_id in cropped.queries.take_ids(cropped.unlabelled):
        passage_id = source(query_id)
        assert f" {cropped.queries[query_id]} " in f" {cropped.corpus[passage_id]} "
        lengths[passage_id].add(len(cropped.queries[query_id].split()))
    assert lengths == {"eight": {4}, "forty": set(range(4, 13)), "ten": {4, 5}}


def test_any_passage_may_come_first(collection: Collection) -> None:
    first = {source(crop_queries(collection, 1, seed).queries.ids[-1]) for seed in range(20)}
    assert first == {"eight", "forty", "ten"}


def test_every_usable_passage_comes_before_any_second_span(collection: Collection) -> None:
    for seed in range(5):
        spans = crop_queries(collection, 3, seed=seed).queries.ids[1:]
        assert set(map(source, spans)) == {"eight", "forty", "ten"}


def test_every_place_is_possible_and_then_there_are_no_more() -> None:
    cropped = crop_queries(from_dictionaries("one", {"p": words_from(0, 8)}), 1000, seed=3)
    # 4 words of 8 begin at one of 5 places
    assert set(cropped.queries.ids) == {f"crop:p:{first}:4" for first in range(5)}


def test_seed_decides(collection: Collection) -> None:
    assert crop_queries(collection, 20, seed=1).fingerprint == crop_queries(collection, 20, seed=1).fingerprint
    assert crop_queries(collection, 20, seed=1).fingerprint != crop_queries(collection, 20, seed=2).fingerprint


def test_other_splits_and_queries_stay(collection: Collection) -> None:
    cropped = crop_queries(collection, 5, seed=0)
    assert cropped.qrels == collection.qrels
    assert cropped.unlabelled.tolist() == [1, 2, 3, 4, 5]
    assert cropped.queries.ids[0] == "q"
    assert len(cropped.queries) == 6
    assert cropped.notes == ("5 training queries are random spans of passages.",)
    assert len(collection.queries) == 1


def test_cropping_twice_adds_to_the_training_queries(collection: Collection) -> None:
    twice = crop_queries(crop_queries(collection, 5, seed=0), 5, seed=0)
    assert len(twice.unlabelled) == 10 and len(set(twice.queries.take(twice.unlabelled))) == 10


def test_nothing_to_crop() -> None:
    with pytest.raises(InputError, match="at least 8 words .* none among the 1 passages of 'tiny'"):
        crop_queries(from_dictionaries("tiny", {"p": "only seven words are in this one"}), 5, seed=0)


def test_senseless_numbers(collection: Collection) -> None:
    with pytest.raises(InputError, match="num_queries >= 1"):
        crop_queries(collection, 0, seed=0)


PASSAGE = "刺猬晚上出来找虫子吃，白天在落叶下睡觉。"
WITHOUT_BLANKS = {
    "Chinese": PASSAGE,
    "Japanese": "カエルは春になると田んぼで鳴き始めます。",
    "Thai": "ช้างป่ากินหญ้าและผลไม้ในป่าใหญ่ทุกวัน",
    "Khmer": "ដំរីព្រៃស៊ីស្មៅនិងផ្លែឈើនៅក្នុងព្រៃធំរាល់ថ្ងៃ",
    "Burmese": "တောဆင်သည်တောကြီးထဲတွင်မြက်နှင့်သစ်သီးများကိုနေ့စဉ်စားသည်",
    "mixed": "用 Python 3 写程序的时候，我们常常需要读取 JSON 文件",
}


@pytest.mark.parametrize("passage", WITHOUT_BLANKS.values(), ids=WITHOUT_BLANKS)
def test_passages_without_blanks_give_spans_of_themselves(passage: str) -> None:
    cropped = crop_queries(from_dictionaries("made", {"p": passage}, {}, {}), 3, seed=0)
    spans = cropped.queries.take(cropped.unlabelled)
    assert all(span in passage and 4 < len(span) < len(passage) for span in spans)
    assert all(unicodedata.category(span[0])[0] != "M" for span in spans)  # no letter loses its marks


def test_two_characters_count_as_a_word() -> None:
    with pytest.raises(InputError, match="16 characters"):
        crop_queries(from_dictionaries("made", {"p": PASSAGE[:10]}, {}, {}), 1, seed=0)
    (span,) = crop_queries(
        from_dictionaries("made", {"p": "刺猬晚上出来找虫子吃白天睡觉休息"}, {}, {}), 1, seed=0
    ).queries.take([0])
    assert len(span) == 8


def test_korean_is_cropped_between_its_blanks() -> None:
    passage = "고슴도치는 밤에 나와서 벌레를 먹고 낮에는 낙엽 아래에서 잔다"
    (span,) = crop_queries(from_dictionaries("made", {"p": passage}, {}, {}), 1, seed=0).queries.take([0])
    assert set(span.split()) <= set(passage.split())
