"""A run with exits: each is saved as a student, measured beside it, and the same after a kill."""

from __future__ import annotations

import pytest
import torch
from sentence_transformers import SentenceTransformer

from st_mta.errors import InputError
from st_mta.evaluation import evaluate_scorer
from st_mta.report.tables import serving_rows
from st_mta.run.results import Served, Trained
from st_mta.scorers import BM25, BiEncoderScorer
from st_mta.stores import Store
from st_mta.training.students import prune_layers
from tests.tiny import tiny_sentence_transformer
from tests.training.toy_run import killed, toy_trainer

PROBE = ["a cat eats", "the wind blows over the sea"]


def trainer_of(folder, store, collection, **changes):
    options = {
        "student": tiny_sentence_transformer(1, layers=3),
        "assistants": [BM25(store=Store(store))],
        "num_iterations": 1,
        "regression_epochs": 0.0,
        "learning_rate": 1e-3,
        "max_steps": 2,
        "queries_per_iteration": 8,
        "exits": [2, 1],
    }
    return toy_trainer(folder, store, collection, **(options | changes))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, toy_collection):
    """A run that died before its last stage, and resumed."""
    folder = tmp_path_factory.mktemp("exits")

    def run():
        distillation = trainer_of(folder / "out", folder / "store", toy_collection).distillation
        distillation.run()
        return distillation.journal

    with pytest.MonkeyPatch.context() as patch, killed(patch, "serving"):
        run()
    return folder / "out", run()


def test_an_exit_is_the_pruned_student_and_loads_by_itself(finished):
    out, journal = finished
    assert journal.result("exits", dict) == {"exits/2-layers": 2, "exits/1-layers": 1}
    for layers in (1, 2):
        alone = SentenceTransformer(str(out / f"exits/{layers}-layers"), device="cpu")
        pruned = prune_layers(str(out / "iteration-00/student"), range(layers))
        assert alone.transformers_model.config.num_hidden_layers == layers
        ours, theirs = (model.encode(PROBE, convert_to_tensor=True) for model in (alone, pruned))
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_exits_are_rows_of_the_report(finished, toy_collection):
    out, journal = finished
    forms = journal.result("serving", Served).forms
    rows = {entry["name"]: entry for entry in forms if "layers" in entry["name"]}
    assert list(rows) == ["student, 3 of 3 layers", "student, 1 of 3 layers", "student, 2 of 3 layers"]
    for layers in (1, 2):
        alone = BiEncoderScorer(str(out / f"exits/{layers}-layers"), precision="fp32")
        measured = evaluate_scorer(alone, toy_collection, "test", depth=100)[1]
        assert rows[f"student, {layers} of 3 layers"]["ndcg@10"] == pytest.approx(measured["ndcg@10"])
    assert all(entry["queries_per_second"] > 0 for entry in rows.values())
    printed = serving_rows(forms)
    assert printed[0]["Queries per second"] == "–" and printed[-1]["Queries per second"] != "–"
    assert "Queries per second" not in serving_rows(forms[:3])[0]
    assert not list((out / "student-embeddings").rglob("*.npy"))


def test_exits_train_and_tell_the_run_from_one_without(finished, toy_collection):
    out, journal = finished
    told = journal.result("iteration-00/train", Trained).trained_with
    assert told["class"].endswith("ExitsLoss") and told["config"]["exits"] == [1, 2]
    plain = trainer_of(out.with_name("plain"), out.with_name("store"), toy_collection, exits=None).distillation
    with_exits, without = (each._record["configuration"] for each in (journal, plain.journal))
    assert {name for name in without if without[name] != with_exits[name]} == {"exits"}


def test_what_cannot_have_exits_is_refused_before_anything_is_written(toy_collection, tmp_path):
    for changes, told in (
        ({"exits": [3]}, "exits after 1 to 2 of the student's 3 layers"),
        ({"loss": "hidden-state-mse"}, "reads layers itself"),
        ({"loss": "heads", "objective": "bce", "alpha": 0.5}, "no alpha for objective 'bce'"),
    ):
        with pytest.raises(InputError, match=told):
            trainer_of(tmp_path / "out", tmp_path / "store", toy_collection, **changes)
    assert not (tmp_path / "out").exists()
