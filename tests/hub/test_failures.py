from __future__ import annotations

import pytest

from st_mta.errors import InputError
from st_mta.hub.failures import explained


def test_a_token_in_a_message_of_others_is_not_shown():
    with pytest.raises(InputError, match="bad header") as raised, explained("me/small", "hf_secret"):
        raise RuntimeError("bad header: Bearer hf_secret")
    assert "hf_secret" not in str(raised.value) and raised.value.__cause__ is None


def test_what_was_explained_already_stays():
    error = InputError(expected="a", got="b", consequence="c", remedy="d")
    with pytest.raises(InputError) as raised, explained("me/small", "hf_secret"):
        raise error
    assert raised.value is error
