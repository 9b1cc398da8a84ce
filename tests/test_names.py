"""Names as file names, and names that a run cannot use."""

from __future__ import annotations

import pytest

from st_mta.atomic import atomic_write_text
from st_mta.errors import InputError
from st_mta.names import file_name, refuse_same_files, refuse_unusable
from st_mta.trec import read_run, write_run


@pytest.mark.parametrize("name", ["bm25", "me/model", "late-interaction:../m", "ä ö", "it's", "x" * 200])
def test_usual_names_keep_their_usual_files(name):
    assert file_name(name) == name.replace("/", "--").replace(":", "--")


LONG = ["/home/me/" + "a-folder/" * 40 + end for end in ("one", "two")] + ["模" * 90, "模" * 90 + "型", "y" * 5000]
ODD = ["a\0b", "a\nb", "a\x1b[31mb", "a\udcffb"]


@pytest.mark.parametrize("name", [*LONG, *ODD])
def test_any_name_makes_a_file(tmp_path, name):
    path = tmp_path / f"{file_name(name)}.trec"
    write_run(path, {"q": {"p": 1.0}}, tag=file_name(name))
    assert read_run(path) == {"q": {"p": 1.0}}
    atomic_write_text(path, "again")


def test_names_that_differ_behind_the_cut_make_different_files():
    assert len({file_name(name) for name in [*LONG, *ODD, "a-b"]}) == len(LONG) + len(ODD) + 1
    assert file_name(LONG[0]).endswith("--one")


@pytest.mark.parametrize(
    "names",
    [("a/b", "a:b"), ("A", "a"), ("caf\u00e9", "cafe\u0301"), ("Straße", "STRASSE"), ("x", "a/b", "a--b")],
)
def test_names_of_one_file_are_refused_by_name(names):
    with pytest.raises(InputError) as refused:
        refuse_same_files(names)
    assert repr(names[-1]) in refused.value.got and repr(names[-2]) in refused.value.got


RESERVED = ["student", "Student", "student-before", "student_before", "warm-up", "iteration-00", "iteration-123"]


@pytest.mark.parametrize("name", [*RESERVED, "others", "qrels", "", "  ", "a\udcff"])
def test_names_of_the_run_itself_are_refused(name):
    with pytest.raises(InputError, match="names of their own"):
        refuse_unusable(["teacher", name])


def test_the_name_of_a_fusion_is_refused_where_its_parts_are_there():
    with pytest.raises(InputError, match="fusion"):
        refuse_unusable(["t", "a+b", "b", "a"])
    refuse_unusable(["t", "a+b", "a"])


@pytest.mark.parametrize("name", ["teacher", "student-2", "my/student", "iteration-x", "a\x1b[31m"])
def test_other_names_are_taken(name):
    refuse_unusable(["t", name])
