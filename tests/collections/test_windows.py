"""Documents cut into windows: by hand, against loops, and what is refused."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from st_mta.collections import from_dictionaries, with_windows
from st_mta.collections.windows import write_windows
from st_mta.errors import InputError
from tests import reference

CORPUS = {"a": " one  two three four five ", "b": "", "c": "six", "d": "水獭睡觉得好"}


@pytest.fixture
def collection():
    return from_dictionaries("made", CORPUS, {"q": "one"}, {"dev": {"q": {"a": 2, "c": 0}}})


def test_by_hand(collection):
    found = with_windows(collection, 3, 2)
    texts = dict(zip(found.corpus.ids, found.corpus.take(range(len(found.corpus)))))
    expected = {"a#0": "one  two three", "a#1": "three four five", "b#0": "", "c#0": "six", "d#0": "水獭睡觉得好"}
    assert texts == expected
    assert found.windows.document.tolist() == [0, 0, 1, 2, 3] and found.windows.lengths.tolist() == [2, 1, 1, 1]
    assert found.windows.offsets.tolist() == [0, 2, 3, 4]
    for document, (start, end), text in zip(found.windows.document, found.windows.spans, texts.values()):
        assert collection.corpus.take([document])[0][start:end] == text
    assert found.qrels == collection.qrels and found.over_documents.corpus is collection.corpus
    assert found.over_documents.windows is None and collection.over_documents is collection
    assert found.find_judged(["c", "a", "a#0", "gone"]).tolist() == [3, 0, -1, -1]
    assert found.judged_ids(np.array([1, 4])) == ["a", "d"]
    assert collection.judged_ids(np.array([1])) == ["b"] and collection.find_judged(["b"]).tolist() == [1]
    assert "4 documents are read as 5 windows of 3 words at most, 2 apart" in found.notes[-1]
    assert found.notes[-1].endswith("is that of its best window.")
    assert with_windows(collection, 3, 2, 4).notes[-1].endswith("the sum of those of its 4 best windows.")


def test_against_loops():
    for length in range(1, 12):
        words = [f"w{i}" for i in range(length)]
        collection = from_dictionaries("made", {"a": " ".join(words)})
        for size in range(1, 8):
            for stride in range(1, size + 1):
                found = with_windows(collection, size, stride)
                expected = [" ".join(window) for window in reference.windows(words, size, stride)]
                assert found.corpus.take(range(len(found.corpus))) == expected
    assert len(with_windows(collection, 4).corpus) == len(reference.windows(words, 4, 2))


def test_the_map_as_a_file(collection, tmp_path):
    write_windows(tmp_path / "windows.parquet", with_windows(collection, 3, 2))
    rows = pq.read_table(tmp_path / "windows.parquet").to_pylist()
    assert rows[1] == {"window_id": "a#1", "document_id": "a", "start": 10, "end": 25}


def test_misuse_is_refused(collection):
    for arguments in ((0,), (3, 4), (3, 0), (3, 2, 0)):
        with pytest.raises(InputError):
            with_windows(collection, *arguments)
    with pytest.raises(InputError, match="cut already"):
        with_windows(with_windows(collection, 3), 2)
