"""A run refuses inputs that it would write over, however deep they are in its folder."""

from __future__ import annotations

import pytest

from st_mta.errors import InputError
from st_mta.run.folder import RunFolder


@pytest.mark.parametrize("place", ["student", "iteration-00/lists.parquet", "student/0_Transformer/config.json"])
def test_inputs_inside_of_what_a_run_writes_are_refused(tmp_path, place):
    folder = RunFolder(tmp_path)
    folder.journal.touch()
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    (tmp_path / "notes").touch()
    folder.refuse_unusable([str(tmp_path / "notes")])
    with pytest.raises(InputError, match="inputs outside of what the run writes"):
        folder.refuse_unusable([str(path)])
