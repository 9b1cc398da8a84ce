from __future__ import annotations

import pytest

from st_mta.hub.public import local_paths, public, public_values


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
        ("/home/USER NAME/some project/my teacher", "my teacher"),
        ("top 100 of /home/USER NAME/some project/my teacher", "top 100 of my teacher"),
        ("late-interaction:../m/tinyB", "late-interaction:tinyB"),
        ("../../x", "x"),
        ("file:///home/me/x", "x"),
        (
            "Read from /home/me/data: 3 passages in corpus/a were dropped.",
            "Read from data: 3 passages in corpus/a were dropped.",
        ),
        ("/home/me/x and /home/me/y", "x and y"),
        (
            "AssistantTargets(assistants=['bm25', 'late-interaction:/home/USER NAME/m'], combinations='all')",
            "AssistantTargets(assistants=['bm25', 'late-interaction:m'], combinations='all')",
        ),
        ("see https://huggingface.co/org/model", "see https://huggingface.co/org/model"),
        ("C:\\Users\\USER NAME\\my teacher", "my teacher"),
    ],
)
def test_only_the_last_part_of_a_path_is_public(text, expected):
    assert public(text) == expected


def test_paths_are_found_in_nested_values():
    options = {"teacher": "/a/t", "assistants": ["org/m", "/b/x+/b/y"], "/c/key": 1, "seed": 2, "store": None}
    assert {"/a/t", "/b/x", "/b/y", "/c/key"} <= local_paths(options)
    assert "org/m" not in local_paths(options)


def test_paths_with_blanks_are_found_whole():
    found = local_paths({"teacher": "/home/USER NAME/my teacher", "note": "top 9 of /home/a b/c d"})
    assert {"/home/USER NAME/my teacher", "/home/a b/c d", "/home/a b/c"} <= found


def test_nested_values_are_made_public():
    assert public_values({"/a/b": ["bi:/c/d", 3, None, ("~/e",)]}) == {"b": ["bi:d", 3, None, ["e"]]}
