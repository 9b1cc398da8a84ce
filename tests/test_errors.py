from __future__ import annotations

import pytest

from st_mta.errors import InputError, loading


def test_an_error_of_others_gets_its_place_and_remedy_on_one_line():
    with pytest.raises(InputError, match=r"a model, got 'name' \(OSError: no such file\)"):
        with loading("a model", "name", "check it"):
            raise OSError("no such\n  file")


def test_an_error_that_says_what_to_do_stays_as_it_is():
    own = InputError(expected="one", got="two", remedy="count")
    with pytest.raises(InputError) as caught, loading("a model", "name", "check it"):
        raise own
    assert caught.value is own


def test_sentences_end_once():
    error = InputError(expected="a", got="b: no such file.", consequence="c!", remedy="did you mean 'd'?")
    assert str(error) == "Expected a, got b: no such file. Otherwise c! To do: did you mean 'd'?"
