"""Which bi-encoders the student is regressed to, and how they come into its space."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense
from torch import nn

from st_mta.errors import InputError
from st_mta.losses.embedding import EmbeddingSpaces
from st_mta.losses.embedding.map_files import FILE, read_map
from st_mta.losses.embedding.moving import MoveTheMap, SelectedSpaces
from st_mta.run.results import Scored, WarmedUp
from st_mta.scorers import BM25, BiEncoderScorer
from st_mta.stores import Store
from st_mta.training.regression_map import begun_map, map_of_lists, warm_up_loss
from st_mta.training.regression_target import choose_target, load_matrices, load_target
from st_mta.training.regression_weights import CHOOSERS, usable_bi_encoders
from tests.tiny import tiny_sentence_transformer
from tests.training.toy_run import killed, toy_arguments, toy_trainer


def scorer(seed, name, dim=32, **options):
    return BiEncoderScorer(tiny_sentence_transformer(seed, dim=dim), name=name, precision="fp32", **options)


def orthonormal_copy(model, width):
    """The same model in a wider space, turned."""
    matrix = np.linalg.qr(np.random.default_rng(0).normal(size=(width, width)))[0][:32]
    dense = Dense(32, width, bias=False, activation_function=torch.nn.Identity())
    dense.linear.weight.data = torch.tensor(matrix.T, dtype=torch.float32)
    return SentenceTransformer(modules=[*model, dense], device="cpu")


def warmed_up_on(folder):
    """Texts that went through the student in the warm-up."""
    return json.loads((folder / "state.json").read_text())["stations"]["warm-up"]["result"]["sequences"]


def chosen(collection, scorers, student, quality, tmp_path, choose="best", kind="procrustes"):
    return choose_target(
        scorers, student, quality, collection, choose=choose, kind=kind, seed=0, path=tmp_path / "map.safetensors"
    )


def test_without_a_map_only_those_of_the_students_width_count():
    scorers = [scorer(1, "wide", 48), BM25(), scorer(2, "fits")]
    assert [one.name for one in usable_bi_encoders(scorers, 32, "none")] == ["fits"]
    assert [one.name for one in usable_bi_encoders(scorers, 32, "procrustes")] == ["wide", "fits"]


def test_the_best_on_dev_is_taken_and_mapped(toy_collection, tmp_path):
    scorers, student = [scorer(1, "A"), scorer(2, "wide", 48)], scorer(3, "student")
    found = chosen(toy_collection, scorers, student, {"A": 0.1, "wide": 0.2}, tmp_path)
    assert (found.bi_encoders, found.weights, found.aligned_to) == (["wide"], [1.0], "student")
    assert 0.5 < found.explained <= 1
    assert load_target(found, scorers, tmp_path).dimension == 32


def test_the_students_own_family_needs_no_map(toy_collection, tmp_path):
    family, student = scorer(3, "family"), scorer(3, "student")
    found = chosen(toy_collection, [family], student, {"family": 0.5}, tmp_path)
    assert (found.aligned_to, found.map_file) == (None, None)
    assert load_target(found, [family], tmp_path) is family


def test_a_wider_copy_comes_back_into_the_family_s_space(toy_collection, tmp_path):
    family, student = scorer(3, "family"), scorer(3, "student")
    copy = BiEncoderScorer(orthonormal_copy(tiny_sentence_transformer(3), 48), name="copy", precision="fp32")
    found = chosen(toy_collection, [family, copy], student, {"family": 0.1, "copy": 0.5}, tmp_path)
    assert (found.bi_encoders, found.aligned_to) == (["copy"], "family")
    every = np.arange(len(toy_collection.corpus))
    target = load_target(found, [family, copy], tmp_path).embed(toy_collection.corpus, "document", every)
    wanted = family.embed(toy_collection.corpus, "document", every)
    assert np.abs(target.rows(slice(None)) - wanted.rows(slice(None))).max() < 1e-5
    assert found.explained == pytest.approx(1.0, abs=1e-5)


def test_several_side_by_side_are_one_target_of_the_students_width(toy_collection, tmp_path):
    scorers, student = [scorer(1, "A"), scorer(2, "wide", 48)], scorer(3, "student")
    found = chosen(toy_collection, scorers, student, {"A": 0.1, "wide": 0.2}, tmp_path, choose="all")
    assert (found.bi_encoders, found.weights) == (["A", "wide"], [0.5, 0.5])
    assert load_target(found, scorers, tmp_path).dimension == 32


def test_fitted_weights_leave_out_what_does_not_help(toy_collection):
    """Beside one that finds everything, noise weighs next to nothing, or the best one stands alone."""
    good, noise = scorer(1, "good"), scorer(7, "noise")
    weights = CHOOSERS["fitted"]([good, noise], {"good": 1.0, "noise": 0.0}, toy_collection)
    assert weights == [1.0, 0.0]


def test_fitted_weights_join_where_that_is_better_on_dev(toy_collection):
    weights = CHOOSERS["fitted"]([scorer(1, "A"), scorer(2, "B")], {"A": 0.0, "B": 0.0}, toy_collection)
    assert min(weights) >= 0 and sum(weights) == pytest.approx(1.0, abs=0.03)


def test_several_need_a_map(tmp_path):
    with pytest.raises(InputError, match="regression_map"):
        toy_arguments(tmp_path, regression_to="all", regression_map="none")


def test_a_run_with_wider_bi_encoders_learns_from_them_and_resumes(toy_collection, tmp_path, monkeypatch):
    """Killed after the map was fitted, the run ends with the same student; the report names both."""
    students = {}
    for name in ("whole", "killed"):
        store = Store(tmp_path / f"store-{name}")
        wide = BiEncoderScorer(tiny_sentence_transformer(2, dim=48), name="wide", store=store, precision="fp32")

        def trainer(out=tmp_path / name, wide=wide, store=store):
            return toy_trainer(
                out, store.folder, toy_collection, assistants=[wide, BM25()], store=store, regression_to="all",
                num_iterations=1,
            )  # fmt: skip

        if name == "killed":
            with killed(monkeypatch, "mine"):
                trainer().train()
            report = trainer().train(resume_from_checkpoint=True)
        else:
            report = trainer().train()
        assert report["warm_up"]["regressed_to"] == "T+wide, mapped"
        assert any(entry["passages"] == "T+wide, mapped" for entry in report["serving"])
        assert report["regression"]["bi_encoders"] == ["T", "wide"] and report["regression"]["weights"] == [0.5, 0.5]
        assert "to the space of" in (tmp_path / name / "report.md").read_text()
        students[name] = (tmp_path / name / "student" / "model.safetensors").read_bytes()
        state = json.loads((tmp_path / name / "state.json").read_text())["stations"]["regression-target"]
        assert "regression-map.safetensors" in state["files"]
    assert students["whole"] == students["killed"]


def test_a_target_in_another_space_moves_the_student_less_when_it_is_turned(toy_collection, tmp_path):
    """What the map is for: the untrained student is nearer to a turned target than to one that is not."""
    student, other = scorer(1, "student"), scorer(5, "other")
    found = chosen(toy_collection, [other], student, {"other": 0.5}, tmp_path)
    every = np.arange(len(toy_collection.corpus))
    own = student.embed(toy_collection.corpus, "document", every).rows(slice(None))
    cosines = [
        float(np.einsum("nd,nd->n", own, one.embed(toy_collection.corpus, "document", every).rows(slice(None))).mean())
        for one in (other, load_target(found, [other], tmp_path))
    ]
    assert cosines[1] > cosines[0] + 0.2


def test_unlabelled_texts_are_warmed_up_on_and_kept_by_a_resumed_run(toy_collection, tmp_path, monkeypatch):
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(f"the {word} sleeps in a town\n" for word in ("cat", "dog", "bird")) * 20)

    def begin(folder, store, **options):
        toy_trainer(tmp_path / folder, tmp_path / store, toy_collection, **options).distillation.begin()

    with killed(monkeypatch, "warm-up"):
        begin("killed", "s1", regression_texts=str(texts))
    begin("killed", "s1", regression_texts=str(texts))
    begin("whole", "s2", regression_texts=str(texts))
    begin("plain", "s2")
    assert warmed_up_on(tmp_path / "killed") == warmed_up_on(tmp_path / "plain") + 60
    students = [(tmp_path / f"{name}/warm-up/student/model.safetensors").read_bytes() for name in ("killed", "whole")]
    assert students[0] == students[1]
    texts.write_text("another text\n")
    with pytest.raises(InputError, match="regression_texts"):
        begin("killed", "s1", regression_texts=str(texts))


def test_no_more_unlabelled_texts_are_encoded_than_are_trained_on(toy_collection, tmp_path):
    (tmp_path / "texts.txt").write_text("".join(f"a text of number {number}\n" for number in range(500)))
    options = {"num_iterations": 1, "regression_texts": str(tmp_path / "texts.txt"), "regression_max_texts": 100}
    report = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options).train()
    assert warmed_up_on(tmp_path / "out") <= 100
    assert report["compute"]["passages_encoded"] < 400


@pytest.mark.parametrize("kind", ["learned", "orthogonal"])
def test_a_trained_map_goes_with_the_student_through_a_kill(toy_collection, tmp_path, monkeypatch, kind):
    maps = {}
    for name in ("whole", "killed"):
        store = Store(tmp_path / f"store-{name}")
        wide = BiEncoderScorer(tiny_sentence_transformer(2, dim=48), name="wide", store=store, precision="fp32")

        def trainer(out=tmp_path / name, wide=wide, store=store):
            return toy_trainer(
                out, store.folder, toy_collection, teacher=wide, assistants=[BM25()], store=store,
                regression_map=kind, regression_terms={"cosine": 1.0, "gram": 0.5}, num_iterations=1,
            )  # fmt: skip

        if name == "killed":
            with killed(monkeypatch, "evaluate"):
                trainer().train()
            report = trainer().train(resume_from_checkpoint=True)
        else:
            report = trainer().train()
        assert [e["dimension"] for e in report["serving"] if e["passages"] == "wide"] == [48]
        maps[name] = [(tmp_path / name / folder / FILE).read_bytes() for folder in ("warm-up", "iteration-00")]
    assert maps["whole"] == maps["killed"]
    assert maps["whole"][0] != maps["whole"][1]


def test_terms_of_the_regression_are_trained_on_and_named(toy_collection, tmp_path):
    students = {}
    for terms in (None, {"cosine": 1.0}, {"cosine": 1.0, "gram": 5.0}):
        out = tmp_path / str(len(students))
        toy_trainer(out, tmp_path / "store", toy_collection, regression_terms=terms).distillation.begin()
        model = SentenceTransformer(str(out / "warm-up" / "student"), device="cpu")
        students[str(terms)] = model.encode(toy_collection.corpus.take(range(9)))
    first, same, other = students.values()
    assert np.allclose(first, same, atol=1e-5)
    assert np.abs(first - other).max() > 1e-4


def test_terms_that_do_not_exist_are_refused(tmp_path):
    with pytest.raises(InputError, match="cosines"):
        toy_arguments(tmp_path, regression_terms={"cosines": 1.0})


def test_a_loss_without_a_map_refuses_a_trained_one(toy_collection, tmp_path):
    with pytest.raises(InputError, match="regression_map=learned"):
        toy_trainer(tmp_path / "out", tmp_path / "s", toy_collection, loss="mnrl", regression_map="learned")


@pytest.mark.parametrize("choose", ["scheduled", "selected"])
def test_one_bi_encoder_at_a_time_through_a_kill(toy_collection, tmp_path, monkeypatch, choose):
    students = {}
    for name in ("whole", "killed"):
        store = Store(tmp_path / f"store-{name}")
        wide = BiEncoderScorer(tiny_sentence_transformer(2, dim=48), name="wide", store=store, precision="fp32")

        def trainer(out=tmp_path / name, wide=wide, store=store):
            options = {"store": store, "regression_to": choose, "num_iterations": 1}
            return toy_trainer(out, store.folder, toy_collection, assistants=[wide, BM25()], **options)

        if name == "killed":
            with killed(monkeypatch, "train"):
                trainer().train()
            trainer().train(resume_from_checkpoint=True)
        else:
            trainer().train()
        students[name] = [
            (tmp_path / name / folder / "student" / "model.safetensors").read_bytes()
            for folder in ("warm-up", "iteration-00")
        ]
    assert students["whole"] == students["killed"]


def test_what_one_at_a_time_is_made_of(toy_collection, tmp_path):
    """The nearest begins, all together end; selected begins with the best, and knows each."""
    family, other, student = scorer(3, "family"), scorer(5, "other", 48), scorer(3, "student")
    scorers, quality = [other, family], {"family": 0.1, "other": 0.5}
    scheduled = chosen(toy_collection, scorers, student, quality, tmp_path / "a", choose="scheduled")
    matrices = load_matrices(scheduled, tmp_path / "a")
    every = np.arange(len(toy_collection.corpus))
    raw = load_target(scheduled, scorers, tmp_path / "a", mapped=False).embed(toy_collection.corpus, "document", every)
    own = family.embed(toy_collection.corpus, "document", every).rows(slice(None))
    assert np.allclose(raw.rows(slice(None)) @ matrices["start"], own, atol=1e-5)
    selected = chosen(toy_collection, scorers, student, quality, tmp_path / "b", choose="selected")
    best = load_target(selected, scorers, tmp_path / "b").embed(toy_collection.corpus, "document", every)
    alone = chosen(toy_collection, scorers, student, quality, tmp_path / "c", choose="best")
    mapped = load_target(alone, scorers, tmp_path / "c").embed(toy_collection.corpus, "document", every)
    assert np.allclose(best.rows(slice(None)), mapped.rows(slice(None)), atol=1e-5)
    assert load_matrices(selected, tmp_path / "b")["each"].shape == (2, 80, 32)


def test_a_trained_map_begins_as_it_was_left_beside_the_student(toy_collection, tmp_path):
    wide = BiEncoderScorer(tiny_sentence_transformer(2, dim=48), name="wide", precision="fp32")
    run = toy_trainer(
        tmp_path / "out", tmp_path / "s", toy_collection, teacher=wide, assistants=[BM25()], regression_map="learned"
    ).distillation
    run.begin()
    fitted = torch.from_numpy(load_file(run.folder.regression_map)["matrix"])
    left = read_map(run.folder.warm_up)
    assert not torch.allclose(fitted, left, atol=1e-4)
    for student, matrix in ((run.folder.student_before, fitted), (run.folder.warm_up / "student", left)):
        assert torch.allclose(begun_map(run, student).as_matrix(), matrix, atol=1e-6)


def test_a_scheduled_warm_up_moves_its_map_from_the_nearest_to_all(toy_collection, tmp_path, monkeypatch):
    steps, begin = [], MoveTheMap.on_step_begin

    def seen(self, args, state, control, **more):
        steps.append(state.global_step)
        begin(self, args, state, control, **more)

    monkeypatch.setattr(MoveTheMap, "on_step_begin", seen)
    run = toy_trainer(tmp_path / "out", tmp_path / "s", toy_collection, regression_to="scheduled").distillation
    run.begin()
    assert steps == list(range(run.journal.result("warm-up", WarmedUp).steps))
    how, matrices = warm_up_loss(run, tiny_sentence_transformer(1)), load_file(run.folder.regression_map)
    (move,) = how.callbacks
    assert move.spaces is how.loss.map and not how.mapped
    assert np.array_equal(move.start, matrices["start"]) and np.array_equal(move.end, matrices["matrix"])
    assert np.array_equal(how.loss.map.matrix, matrices["start"])


@pytest.mark.parametrize(
    ("options", "width", "kind"),
    [
        ({"regression_to": "all"}, 32, type(None)),
        ({"regression_to": "selected"}, 64, SelectedSpaces),
        ({"regression_to": "all", "regression_terms": {"gram": 1.0}}, 64, EmbeddingSpaces),
    ],
)
def test_lists_are_given_targets_in_the_space_that_their_loss_maps_from(
    toy_collection, tmp_path, options, width, kind
):
    run = toy_trainer(tmp_path / "out", tmp_path / "s", toy_collection, regression_epochs=0.0, **options).distillation
    run.begin()
    student = tiny_sentence_transformer(1)
    assert run.make_collator(student, nn.Identity()).targets["query"].dimension == width
    names = [scorer.name for scorer in run.pool.scorers]
    fitted = Scored(names, [1.0] * len(names), None, 1.0, None, 0, 5.0)
    assert type(map_of_lists(run, run.folder.student_before, fitted)) is kind
