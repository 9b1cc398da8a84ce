"""The best student so far, and when a run gives up."""

from __future__ import annotations

from pathlib import Path

import pytest

from st_mta.errors import InputError
from st_mta.run.best import BestSoFar
from tests.training.toy_run import toy_arguments, toy_trainer


def after(devs, patience, reached=0.5):
    """The best so far after a run whose iterations reach these measures."""
    best = BestSoFar(reached, Path("student-before"), "student-before")
    while best.wants_another(len(devs), patience):
        name = f"iteration-{best.done:02d}"
        best.take_iteration(devs[best.done], Path(name), name)
    return best


@pytest.mark.parametrize(
    ("devs", "patience", "done", "iteration"),
    [
        ([0.6, 0.7, 0.8], 1, 3, 2),
        ([0.6, 0.6, 0.8], 1, 2, 0),  # the same is no improvement
        ([0.6, 0.5, 0.55, 0.9], 2, 3, 0),
        ([0.6, 0.5, 0.7, 0.65, 0.6, 0.9], 2, 5, 2),  # counted anew after an improvement
        ([0.4, 0.9], 1, 1, -1),
        ([0.4, 0.3, 0.9], None, 3, 2),
    ],
)
def test_a_run_ends_after_so_many_iterations_in_vain(devs, patience, done, iteration):
    best = after(devs, patience)
    assert (best.done, best.iteration) == (done, iteration)
    assert best.folder == Path("student-before" if iteration < 0 else f"iteration-{iteration:02d}")
    assert best.kept == best.folder.name and best.reached == max([0.5, *devs[:done]])


def test_the_warm_up_competes_but_is_no_iteration():
    best = BestSoFar(0.5, Path("student-before"), "student-before")
    assert not best.take(0.5, Path("warm-up/student"), "warm-up") and best.kept == "student-before"
    assert best.take(0.6, Path("warm-up/student"), "warm-up") and (best.done, best.in_vain) == (0, 0)
    assert (best.kept, best.iteration) == ("warm-up", -1)


def test_no_patience_at_all_is_refused(tmp_path):
    with pytest.raises(InputError, match="patience"):
        toy_arguments(tmp_path, patience=0)


def test_a_run_that_stops_early_says_so_and_goes_on_to_the_same_end(toy_collection, tmp_path):
    # So great a rate makes every iteration worse than the warm-up.
    options = {"num_iterations": 4, "patience": 2, "learning_rate": 100.0}
    paths = tmp_path / "out", tmp_path / "store", toy_collection
    report = toy_trainer(*paths, **options).train()
    assert [entry["iteration"] for entry in report["iterations"]] == [0, 1] and report["best_iteration"] == -1
    assert report["stopped_early"] == {"num_iterations": 4, "in_vain": 2}
    assert not (tmp_path / "out" / "iteration-02").exists()
    said = "stopped early, after 2 of 4 iterations: the last 2 did not improve"
    for page in ("report.md", "report.html", "student/README.md"):
        assert said in (tmp_path / "out" / page).read_text(encoding="utf-8"), page
    # The end of the run is lost, its iterations are not: how it stands is worked out from the journal.
    (tmp_path / "out" / "report.json").unlink()
    again = toy_trainer(*paths, **options).train(resume_from_checkpoint=True)
    assert again["stopped_early"] == report["stopped_early"] and again["compute"] == report["compute"]


def test_a_run_to_its_end_has_not_stopped_early(toy_collection, tmp_path):
    options = {"num_iterations": 1, "patience": 1, "learning_rate": 10.0}
    report = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options).train()
    assert report["stopped_early"] is None
    assert "stopped early" not in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
