"""What a plan counts is what the run then counts; what is stored or done is no work, and nothing is written."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from st_mta.cli.main import main
from st_mta.cli.show_plan import show_plan
from st_mta.errors import InputError
from st_mta.recipes.distill import DistillConfig
from st_mta.recipes.plan import Plan, Work, plan, rates, stages
from st_mta.recipes.plan import make as making
from st_mta.recipes.plan.make import plan_of
from st_mta.recipes.plan.steps import Training, steps_of, training_on_lists
from st_mta.scorers import BiEncoderScorer, CrossEncoderScorer, FusedScorer, LateInteractionScorer, StoredScores
from st_mta.scorers.anncur import AnnCur
from st_mta.scorers.list_functions import ListFunctionScorer, PairwiseFunctionScorer
from st_mta.stores import Store
from tests.cli.test_main import data  # noqa: F401
from tests.tiny import saved, tiny_cross_encoder, tiny_sentence_transformer
from tests.training.toy_run import toy_trainer


@pytest.fixture(autouse=True)
def _measured_at_once(monkeypatch):
    """The fixture ``run`` measures a training; the other plans need not."""
    monkeypatch.setattr(rates, "SECONDS", 0.0)
    for name in ("training_on_lists", "training_on_embeddings"):
        monkeypatch.setattr(stages, name, lambda *_: Training(step=0.5, beside=2.0))


def trainer_of(folder, collection, out="out", store=None, **changes):
    """A cross-encoder teaches, a bi-encoder assists: every number of the run is known beforehand."""
    store = store or Store(folder / "store")
    scorers = {"store": store, "precision": "fp32"}
    teacher = CrossEncoderScorer(tiny_cross_encoder(5), name="T", **scorers)
    assistants = [BiEncoderScorer(tiny_sentence_transformer(3), name="A", **scorers)]
    chosen = {"num_iterations": 1, "eval_depth": 10} | changes
    return toy_trainer(folder / out, None, collection, teacher=teacher, assistants=assistants, store=store, **chosen)


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def size(folder):
    return sum(path.stat().st_size for path in files(folder))


@pytest.fixture(scope="module")
def run(tmp_path_factory, toy_collection):
    """A plan, what was written by it, the run that follows, and its trainer."""
    folder = tmp_path_factory.mktemp("planned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rates, "SECONDS", 0.0)
        trainer = trainer_of(folder, toy_collection)
        found = plan_of(trainer.distillation)
        written = files(folder)
        trainer.distillation.recipe = "mta4dpr"
        report = trainer.train()
    return found, written, report, trainer, folder


def test_nothing_is_written(run):
    assert run[1] == []


def test_pairs_texts_searches_and_steps_are_those_of_the_run(run):
    total, compute, trainer = run[0].total, run[2]["compute"], run[3]
    own = trainer.distillation.students.store.ledger
    assert total.pairs == compute["pairs_scored"]
    assert total.steps == compute["training_steps"]
    # The plan cannot know that the student that was best is the one that the run began with, which is measured once.
    twice = 10 if run[2]["kept"] == "student-before" else 0
    assert total.searches - twice == compute["queries_searched"] + own.queries_searched
    texts = compute["passages_encoded"] + compute["queries_encoded"] + own.passages_encoded + own.queries_encoded
    bounds = sum(work.count for work in run[0].works if work.stage == "regression-target")
    assert texts <= total.texts - twice <= texts + bounds


def test_pairs_by_stage_are_those_of_the_journal(run):
    state = json.loads((run[4] / "out" / "state.json").read_text())
    counted = {name: entry["counted"]["pairs_scored"] for name, entry in state["stations"].items()}
    planned = {name: stage.pairs for name, stage in run[0].stages.items()}
    for name in ("quality", "iteration-00/score", "test"):
        assert planned[name] == counted[name] > 0


def test_bytes_are_within_half(run):
    written = size(run[4] / "out") + size(run[4] / "store")
    assert run[0].total.written / 1.5 < written < run[0].total.written * 1.5


def test_every_work_has_a_time_and_models_have_tokens(run):
    assert run[0].total.unmeasured == [] and run[0].hours > 0
    assert all(work.tokens > 0 for work in run[0].works if work.unit in ("pairs", "texts") and work.count)


def test_what_is_stored_is_no_work(run, toy_collection):
    store = run[3].distillation.pool.teacher.store
    again = plan_of(trainer_of(run[4], toy_collection, out="another", store=store).distillation)
    assert again.total.pairs == 0
    assert not [
        work.what for work in again.works if work.unit != "steps" and work.count and "student" not in work.what
    ]
    stored = {work.what: work.stored for work in again.works if work.stored}
    assert stored["pairs scored by T"] == 60 and stored["passages encoded by A"] == 60


def test_a_finished_run_is_no_work(run):
    again = plan_of(run[3].distillation)
    assert again.works == [] and "serving" in again.finished and again.hours == 0
    assert plan_of(run[3].distillation, begun=False).total.steps == run[0].total.steps


def test_a_plan_is_json(run):
    found = json.loads(json.dumps(run[0].as_dict()))
    assert found["total"]["pairs"] == run[0].total.pairs
    assert sum(stage["seconds"] for stage in found["stages"].values()) == pytest.approx(found["total"]["seconds"])
    assert {work["stage"] for work in found["work"]} == set(found["stages"])


def test_the_report_names_the_recipe(run):
    assert run[2]["recipe"] == "mta4dpr"
    assert "- Recipe: mta4dpr" in (run[4] / "out" / "report.md").read_text()


def test_later_iterations_are_bounds(tmp_path, toy_collection):
    found = plan_of(trainer_of(tmp_path, toy_collection, num_iterations=3, patience=2).distillation)
    pairs = {work.stage: work for work in found.works if work.unit == "pairs"}
    assert pairs["iteration-02/score"].at_most and not pairs["quality"].at_most
    assert pairs["iteration-02/score"].count == 24 * 5
    assert any("bounds" in note for note in found.notes) and any("2 of them" in note for note in found.notes)


def test_given_scores_and_the_parts_of_a_fusion(tmp_path, toy_collection):
    file = tmp_path / "scores.trec"
    file.write_text("".join(f"q{i} Q0 p{j} 1 {i + j} t\n" for i in range(40) for j in range(60)))
    store = Store(tmp_path / "store")
    parts = [CrossEncoderScorer(tiny_cross_encoder(seed), name=f"C{seed}", store=store) for seed in (1, 2)]
    trainer = toy_trainer(
        tmp_path / "out",
        None,
        toy_collection,
        store=store,
        teacher=StoredScores(file),
        assistants=[FusedScorer(parts, [0.5, 0.5])],
        num_iterations=1,
        regression_epochs=0.0,
    )
    scored = {work.what for work in plan_of(trainer.distillation).works if work.unit == "pairs"}
    assert scored == {"pairs scored by C1", "pairs scored by C2"}


def test_a_training_takes_its_steps_and_what_is_beside_them(tmp_path, toy_collection):
    found = plan_of(trainer_of(tmp_path, toy_collection, num_train_epochs=3.0, regression_epochs=0.0).distillation)
    (training,) = [work for work in found.works if work.unit == "steps"]
    assert training.count == 9 and training.seconds == 2.0 + 9 * 0.5


@pytest.mark.parametrize(
    ("given", "steps"),
    [((24, 8, 1, 2.0), 6), ((25, 8, 1, 1.0), 4), ((25, 8, 3, 1.0), 1), ((25, 8, 1, 0.5), 2), ((25, 8, 1, 1.0, 7), 7)],
)
def test_steps_are_counted_as_the_host_does(given, steps):
    assert steps_of(*given) == steps


def prefer(queries, first, second):
    """Prefers the longer passage."""
    return [float(len(one) >= len(other)) for one, other in zip(first, second)]


def score_lists(queries, lists):
    """Scores by length."""
    return [[float(len(passage)) for passage in passages] for passages in lists]


@pytest.mark.parametrize(
    ("scorer", "each"), [(PairwiseFunctionScorer(prefer), 10), (ListFunctionScorer(score_lists), 5)]
)
def test_comparisons_and_passages_of_lists_are_counted(scorer, each, tmp_path, toy_collection):
    scorer.store = Store(tmp_path / "store")
    trainer = toy_trainer(
        tmp_path / "out",
        None,
        toy_collection,
        store=scorer.store,
        teacher=scorer,
        assistants=[],
        num_iterations=1,
        regression_epochs=0.0,
    )
    run = trainer.distillation
    scored = {work.stage: work.count for work in plan_of(run).works if work.unit == "pairs"}
    assert scored["iteration-00/score"] == 24 * each


def test_a_re_ranker_that_searches_asks_for_its_anchors(tmp_path, toy_collection):
    store = Store(tmp_path / "store")
    teacher = AnnCur(CrossEncoderScorer(tiny_cross_encoder(5), name="T", store=store), anchors=5, anchor_queries=4)
    trainer = toy_trainer(
        tmp_path / "out", None, toy_collection, store=store, teacher=teacher, assistants=[], num_iterations=1,
        regression_epochs=0.0, eval_depth=10,
    )  # fmt: skip
    found = plan_of(trainer.distillation)
    dev = [work.count for work in found.works if work.stage == "quality" and work.unit == "pairs"]
    assert dev == [4 * 60, 6 * (5 + 10)] and all(work.at_most for work in found.works if work.unit == "pairs")


def test_a_service_is_not_asked(tmp_path, toy_collection):
    trainer = trainer_of(tmp_path, toy_collection)
    teacher = trainer.distillation.pool.teacher
    teacher.timed = False
    teacher.predict = lambda *texts: pytest.fail("asked")
    found = plan_of(trainer.distillation)
    assert found.total.unmeasured and any("nothing is asked of a service" in note for note in found.notes)


def test_several_processes_are_refused(monkeypatch):
    class Two:
        size = 2

    monkeypatch.setattr(making, "processes", Two)
    with pytest.raises(InputError, match="one process for a plan"):
        plan(None)


def test_the_table_says_what_is_not_known(capsys):
    works = [
        Work("quality", "pairs scored by T", unit="pairs", count=1200, seconds=None, at_most=True),
        Work("test", "run files", written=45_000),
    ]
    show_plan(Plan(works, memory=10**9, device="cpu", finished=["student-before"], notes=["A note."]))
    printed = " ".join(capsys.readouterr().out.split())
    assert "≤ 1,200" in printed and "?" in printed and "45.0 kB" in printed
    assert "Finished before: student-before." in printed and "A note." in printed


def test_the_command_prints_the_plan_and_stops(data, tmp_path, capsys):  # noqa: F811
    line = ["distill", "--collection", data / "data", "--teacher", data / "teacher", "--student", data / "student"]
    line += ["--student-layers", "0", "2", "--assistants", "bm25", "--output-dir", tmp_path / "out"]
    line += ["--recipe", "mta4dpr", "--device", "cpu", "--num-iterations", "1", "--plan-json"]
    assert main([str(word) for word in line]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["total"]["steps"] == 1 and not (tmp_path / "out").exists()


def refuse_to_generate(passages):
    """A generator that must not be asked."""
    raise AssertionError


def test_a_plan_generates_nothing(data, tmp_path):  # noqa: F811
    config = DistillConfig(
        collection=str(data / "data"),
        teacher=str(data / "teacher"),
        student=str(data / "student"),
        student_layers=[0, 2],
        output_dir=str(tmp_path / "out"),
        store=str(tmp_path / "store"),
        query_generator=f"{__name__}:refuse_to_generate",
        queries_per_passage=2,
        device="cpu",
        recipe="gecko",
    )
    found = plan(config)
    assert any("Generated queries" in note for note in found.notes) and files(tmp_path) == []


def test_a_student_that_re_ranks_and_the_first_step_of_a_ladder(data, tmp_path):  # noqa: F811
    student = saved(tiny_cross_encoder(7), tmp_path / "student")
    config = DistillConfig(
        collection=str(data / "data"),
        teacher=saved(tiny_cross_encoder(6), tmp_path / "teacher"),
        student=student,
        assistants=["bm25"],
        ladder=[1],
        output_dir=str(tmp_path / "out"),
        store=str(tmp_path / "store"),
        num_iterations=2,
        eval_depth=10,
        num_candidates=4,
        device="cpu",
    )
    found = plan(config)
    pairs = [(work.stage, work.count) for work in found.works if work.what == "pairs scored by student"]
    assert pairs[0] == ("quality", 60) and ("iteration-00/evaluate", 60) in pairs
    assert not [work for work in found.works if work.unit == "searches" and "student" in work.what]
    assert any("first step of the ladder" in note for note in found.notes)
    with pytest.raises(InputError, match="a ladder that begins below"):
        plan(replace(config, ladder=[9]))


@pytest.mark.parametrize("kind", ["bi-encoder", "late-interaction", "cross-encoder"])
def test_a_step_on_whole_batches_or_on_pairs_is_measured(kind, tmp_path, toy_collection):
    store = Store(tmp_path / "store")
    teachers = {"late-interaction": LateInteractionScorer(tiny_sentence_transformer(2), name="T", store=store)}
    changes = {"candidates": "in-batch", "alpha": 1.0} if kind != "cross-encoder" else {}
    trainer = toy_trainer(
        tmp_path / "out",
        None,
        toy_collection,
        store=store,
        student=tiny_cross_encoder(7) if kind == "cross-encoder" else None,
        teacher=teachers.get(kind),
        assistants=None if kind == "cross-encoder" else [],
        regression_epochs=0.0,
        regression_weight=0.0,
        **changes,
    )
    assert training_on_lists(trainer.distillation, 2).step > 0 and files(tmp_path / "store") == []
