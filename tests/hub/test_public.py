from __future__ import annotations

import pytest

from st_mta.hub.public import local_paths, public, without_secrets


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/me/teacher", "teacher"),
        ("late-interaction:/home/me/teacher", "late-interaction:teacher"),
        ("~/teacher", "teacher"),
        ("../a/teacher", "teacher"),
        ("C:\\models\\teacher", "teacher"),
        ("/home/me/a+/home/me/b", "a+b"),
        ("top 100 of /home/me/first", "top 100 of first"),
        ("org/model", "org/model"),
        ("late-interaction:org/model", "late-interaction:org/model"),
        ("bm25", "bm25"),
        ("and/or 3/4", "and/or 3/4"),
        ("/", "/"),
    ],
)
def test_only_the_last_part_of_a_path_is_public(text, expected):
    assert public(text) == expected


def test_paths_are_found_in_nested_values():
    options = {"teacher": "/a/t", "assistants": ["org/m", "/b/x+/b/y"], "/c/key": 1, "seed": 2, "store": None}
    assert {"/a/t", "/b/x", "/b/y", "/c/key"} <= local_paths(options)
    assert "org/m" not in local_paths(options)


def test_secrets_are_left_out_and_lookalikes_stay():
    options = {"hub_token": "a", "nested": [{"WANDB_API_KEY": "b", "seed": 3}], "include_tokens_per_second": True}
    assert without_secrets(options) == {"nested": [{"seed": 3}], "include_tokens_per_second": True}
    assert without_secrets('{"token": "a", "seed": 3}') == '{"seed": 3}'
    assert without_secrets("bm25") == "bm25" and without_secrets("3") == "3"
