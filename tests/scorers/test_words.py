"""What BM25 takes for words, in scripts with and without blanks, and by functions of the user's."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.scorers import BM25
from st_mta.scorers.words import SCRIPTS, prepared, word_pattern
from st_mta.types import Texts


def words_of(text: str) -> list[str]:
    return re.findall(word_pattern(), prepared(text).lower())


FOUND = {
    "Chinese": ("刺猬吃什么", "刺猬晚上吃虫子", "燕子在屋檐下筑巢"),
    "a single character": ("猫", "黑猫在睡", "狗在跑"),
    "Japanese": ("カエルの鳴き声", "田んぼでカエルが鳴く", "雪が降る"),
    "half-width kana": ("ｶｴﾙ", "カエルが鳴く", "雪が降る"),
    "wide letters": ("ＤＮＡ", "the dna of a cell", "a river"),
    "mixed": ("Python入门", "这本书教python", "一本小说"),
    "Thai": ("ช้างกินอะไร", "ช้างป่ากินหญ้าและผลไม้", "ฝนตกหนัก"),
    "Lao": ("ຊ້າງ", "ຊ້າງກິນຫຍ້າ", "ຝົນຕົກ"),
    "Khmer": ("ដំរី", "ដំរីស៊ីស្មៅ", "ភ្លៀងធ្លាក់"),
    "Burmese": ("ဆင်", "တောဆင်သည်မြက်စားသည်", "မိုးရွာသည်"),
    "Tibetan": ("གླང་ཆེན", "གླང་ཆེན་རྩྭ་ཟ", "ཆར་པ་བབས"),
    "Korean": ("고슴도치가", "고슴도치는 밤에 벌레를 먹는다", "눈이 내린다"),
    "Hindi": ("हाथी", "जंगली हाथी घास खाते हैं", "बारिश हुई"),
    "Tamil": ("யானை", "காட்டு யானை புல் தின்னும்", "மழை பெய்தது"),
    "Arabic with vowels": ("كِتَاب", "هذا كِتَاب جديد", "نهر طويل"),
    "a decomposed accent": ("cafe\u0301", "the café by the sea", "cafe bar"),
    "a blank of width zero": ("刺猬", "小刺\u200b猬", "燕子"),
}


@pytest.mark.parametrize(("query", "relevant", "other"), FOUND.values(), ids=FOUND)
def test_queries_find_their_passage(query, relevant, other):
    corpus = Texts(["other", "relevant"], [other, relevant])
    found = BM25().retrieve(Texts(["q"], [query]), corpus, np.array([0]), 1)
    assert found.passages.tolist() == [[1]]


def test_runs_without_blanks_become_characters_and_pairs():
    assert words_of("水獭 iPhone手机壳") == ["水", "獭", "水獭", "iphone", "手", "机", "壳", "手机", "机壳"]
    assert words_of("2023年") == ["2023", "年"]
    assert words_of("ទឹក ឆ្កែ") == ["ទឹ", "ក", "ទឹក", "ឆ្កែ"]  # marks and the letter below stay with theirs


def test_other_texts_keep_their_words():
    text = "The naïve café, a state-of-the-art 3.14 x2 _id B12 and 10,000 words; Größe Ελλάδα Москва"
    assert words_of(text) == re.findall(r"(?u)\b\w\w+\b", text.lower())


def test_scripts_hold_letters_and_marks_only():
    inside = re.compile(f"[{SCRIPTS}]")
    kinds = {unicodedata.category(chr(code)) for code in range(0x20000) if inside.match(chr(code))}
    assert kinds <= {"Lo", "Lm", "Nl", "Mn", "Mc", "Cn"}


CORPUS = Texts(["a", "b"], ["one-two three", "four"])


def hyphens(text: str) -> list[str]:
    return text.replace("-", " ").split()


def test_a_tokenizer_of_ones_own_cuts_queries_and_passages():
    queries = Texts(["q", "r"], ["x three-one", "THE"])
    assert BM25(tokenizer=hyphens).retrieve(queries, CORPUS, np.array([0]), 1).passages.tolist() == [[0]]
    assert BM25(tokenizer=str.split).score(queries, CORPUS, np.array([0]), np.array([0])).tolist() == [0.0]
    wide = Texts(["a"], ["THE"])  # neither case nor single letters are the rule's then
    assert BM25(tokenizer=str.split).score(queries, wide, np.array([1]), np.array([0]))[0] > 0


class Cut:
    """A stemmer object like those of compiled libraries: nothing of it can be seen but its output."""

    __slots__ = ("_length",)

    def __init__(self, length: int) -> None:
        self._length = length

    def stemWords(self, words: list[str]) -> list[str]:  # noqa: N802
        return [word[: self._length] for word in words]


def stemmer_with(length: int):
    return lambda words: [word[:length] for word in words]


DIFFERENT = {
    "objects": (Cut(3), Cut(4)),
    "closures": (stemmer_with(30), stemmer_with(31)),
    "lambdas": (lambda words: [w[:2] for w in words], lambda words: [w[:1] for w in words]),
    "long words": (Cut(18), Cut(19)),
}


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT)
def test_stemmers_that_differ_have_different_fingerprints(pair):
    one, other = (BM25(stemmer=stemmer).fingerprint for stemmer in pair)
    assert one != other


def test_stored_scores_of_another_stemmer_are_not_served(store):
    queries, corpus = Texts(["q"], ["swimming"]), Texts(["a", "b"], ["swimmer", "river"])
    pair = queries, corpus, np.array([0]), np.array([0])
    assert BM25(stemmer=Cut(4), store=store).score(*pair) > 0
    assert BM25(stemmer=Cut(20), store=store).score(*pair) == 0


def test_the_same_function_made_again_has_the_same_fingerprint():
    assert BM25(stemmer=stemmer_with(5)).fingerprint == BM25(stemmer=stemmer_with(5)).fingerprint
    assert BM25(stemmer=Cut(5)).fingerprint == BM25(stemmer=Cut(5)).fingerprint
    assert BM25(stopwords=["of", "a"]).fingerprint == BM25(stopwords={"a", "of"}).fingerprint


def test_tokenizers_count():
    prints = {BM25(tokenizer=function).fingerprint for function in (None, str.split, hyphens, list)}
    assert len(prints) == 4


def broken(words):
    raise KeyError("no such word")


UNUSABLE = {"one too few": lambda words: words[1:], "numbers": lambda words: [1] * len(words), "broken": broken}


@pytest.mark.parametrize("stemmer", [*UNUSABLE.values(), "english", 3], ids=[*UNUSABLE, "a word", "a number"])
def test_a_stemmer_that_gives_no_stems_is_refused(stemmer):
    with pytest.raises(InputError, match="one stem for each"):
        BM25(stemmer=stemmer)


def test_a_function_that_changes_its_mind_is_refused():
    words = iter("abc")
    with pytest.raises(InputError, match="another time others"):
        BM25(tokenizer=lambda text: [next(words)])


LOST = "share no word with any passage"


def test_queries_in_another_language_are_spoken_of_once(caplog):
    queries = Texts(["a", "b", "c"], ["ένα δύο", "τρία", "four"])
    scorer = BM25()
    for _ in range(2):
        scorer.retrieve(queries, CORPUS, np.arange(3), 2)
    assert caplog.text.count(LOST) == 1
    assert "2 of 3 queries" in caplog.text


def test_some_lost_queries_are_nothing_to_speak_of(caplog):
    queries = Texts(["a", "b"], ["unknown", "four"])
    BM25().retrieve(queries, CORPUS, np.arange(2), 2)
    BM25().retrieve(queries, CORPUS, np.array([0]), 2)
    assert LOST not in caplog.text
