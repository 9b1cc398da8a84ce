"""A run refuses inputs that it would write over, however deep they are in its folder."""

from __future__ import annotations

import pytest

from st_mta.errors import InputError
from st_mta.run.folder import RunFolder


@pytest.mark.parametrize("place", ["student", "iteration-00/lists.parquet", "student/0_Transformer/config.json"])
def test_inputs_inside_of_what_a_run_writes_are_refused(tmp_path, place):
    folder = RunFolder(tmp_path)
    folder.journal.write_text('{"configuration": {}, "stations": {}}')
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    (tmp_path / "notes").touch()
    folder.refuse_unusable([str(tmp_path / "notes")])
    with pytest.raises(InputError, match="inputs outside of what the run writes"):
        folder.refuse_unusable([str(path)])


@pytest.mark.parametrize("spec", ["{}", "stored:{}#bm25", "late-interaction:{}", "file://{}"])
def test_an_input_is_found_behind_whatever_names_it(tmp_path, spec):
    folder = RunFolder(tmp_path)
    folder.journal.write_text('{"configuration": {}, "stations": {}}')
    (tmp_path / "iteration-00" / "scores").mkdir(parents=True)
    with pytest.raises(InputError, match="inputs outside"):
        folder.refuse_unusable([spec.format(tmp_path / "iteration-00" / "scores")])


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    folder = RunFolder(tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.trec").touch()
    folder.root.mkdir()
    (folder.root / "runs").symlink_to(tmp_path / "mine", target_is_directory=True)
    folder.journal.write_text('{"configuration": {}, "stations": {}}')
    folder.clear()
    assert (tmp_path / "mine" / "a.trec").exists() and not folder.journal.exists()


@pytest.mark.parametrize("content", ['{"mine": 1}', "", "[]"])
def test_a_foreign_file_of_the_journals_name_is_no_run(tmp_path, content):
    folder = RunFolder(tmp_path)
    folder.journal.write_text(content)
    (tmp_path / "student").mkdir()
    folder.clear()
    assert (tmp_path / "student").exists()
    with pytest.raises(InputError, match="where no run was begun"):
        folder.refuse_unusable()
