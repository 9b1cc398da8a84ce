"""The losses of MD2PR by their words, in a whole run; whose layers they look into."""

from __future__ import annotations

import pytest
import torch
from transformers import TrainerCallback, TrainerState

from st_mta.cli.values import typed_options
from st_mta.errors import InputError
from st_mta.losses import find_loss
from st_mta.recipes.distill import DistillConfig, training_arguments
from st_mta.run.results import Trained
from st_mta.scorers import BM25, BiEncoderScorer, CrossEncoderScorer, FusedScorer, with_view
from st_mta.stores import Store
from st_mta.training.checkpoints import alpha_schedule
from st_mta.training.loss import check_loss_supports, loss_of_run
from st_mta.training.reader import reading_model
from st_mta.training.settled import Settled
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer
from tests.training.test_trainer import assert_same, weights
from tests.training.toy_run import toy_arguments, toy_trainer

# Of another width than the student, so that hidden states need a projection.
WIDE = {"seed": 4, "dim": 48}
RUNS = {
    "filtered-contrastive": {"relative_margin": [-0.1, 0.1]},
    "attention-mse": {"variant": "self", "layers": "uniform"},
    "hidden-state-mse": {"projection": "learned"},
    "multi-level": {"word": ["attention", "hidden-states"], "word_weight": 0.5, "layers": "last"},
    "lead": {"num_layers": 1, "match": "closest"},
    "embedding": {"terms": {"cosine": 1, "gram": 20}},
    "bce": {},
}
OTHER_OPTIONS = {"bce": {"objective_options": {"labels": "logits", "scale": 2.0}, "query_weights": "error"}}


WITH_STATE = ("hidden-state-mse", "multi-level", "bce", "lead")
"""A projection, a scale and a bias, or a number of steps."""


class DiesAtStep(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **_):
        if "iteration" in args.output_dir and state.global_step == self.step:
            raise KeyboardInterrupt


def trainer_of(folder, store, collection, word, **changes):
    store = Store(store)
    bi_encoder = BiEncoderScorer(tiny_sentence_transformer(3), name="A", store=store, precision="fp32")
    options = {
        "loss": word,
        "loss_options": RUNS[word],
        "num_iterations": 1,
        "regression_epochs": 0.0,
        "learning_rate": 1e-3,
        "max_steps": 4,
        "queries_per_iteration": 16,
        "teacher": CrossEncoderScorer(tiny_cross_encoder(**WIDE), name="T", store=store, precision="fp32"),
        "assistants": [bi_encoder if word == "embedding" else BM25(store=store)],
    }
    return toy_trainer(folder, None, collection, store=store, **(options | OTHER_OPTIONS.get(word, {}) | changes))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Scores and embeddings that all runs share."""
    return tmp_path_factory.mktemp("store")


def learn(trainer, *callbacks):
    """The stages up to the student; the rest is the same for all losses."""
    trainer.distillation.callbacks = callbacks
    trainer.distillation.learn()
    return trainer.distillation.journal.result("iteration-00/train", Trained)


@pytest.mark.parametrize("word", RUNS)
def test_a_word_trains_a_student_and_a_training_killed_midway_ends_the_same(toy_collection, tmp_path, store, word):
    trained = learn(trainer_of(tmp_path / "whole", store, toy_collection, word), DiesAtStep(10**6))
    assert trained.loss["last"] > 0 and trained.steps == 4
    with pytest.raises(KeyboardInterrupt):
        learn(trainer_of(tmp_path / "out", store, toy_collection, word), DiesAtStep(3))
    checkpoint = tmp_path / "out/iteration-00/checkpoints/checkpoint-2"
    assert (checkpoint / "loss.pt").exists() == (word in WITH_STATE)
    resumed = learn(trainer_of(tmp_path / "out", store, toy_collection, word), DiesAtStep(10**6))
    assert resumed.trained_with == trained.trained_with
    first, second = (weights(tmp_path / name / "iteration-00/student") for name in ("whole", "out"))
    assert_same(first, second)
    if word == "bce":
        learned = trained.trained_with["config"]["learned_objective"]
        assert learned["scale"] not in (1.0, 2.0) and learned["bias"] < 0 and learned["labels"] == "logits"
    before = weights(tmp_path / "out" / "student-before")
    assert any(not torch.equal(before[name], first[name]) for name in before)


@pytest.mark.parametrize("changed", [{"word_weight": 0.25}, {"layers": [[1, 1]]}], ids=lambda one: next(iter(one)))
def test_loss_options_are_part_of_a_runs_identity(toy_collection, tmp_path, store, changed):
    def identity(**options):
        trainer = trainer_of(tmp_path / "out", store, toy_collection, "multi-level", **options)
        return trainer.distillation.journal._record["configuration"]

    before, after = identity(), identity(loss_options=RUNS["multi-level"] | changed)
    assert before != after and before == identity()


def test_a_schedule_of_alpha_reaches_the_sentence_level(tmp_path):
    arguments = toy_arguments(tmp_path, loss="multi-level", alpha=1.0, alpha_end=0.0, num_iterations=1)
    reader = CrossEncoderScorer(tiny_cross_encoder(**WIDE), name="T", precision="fp32")
    factory = find_loss("multi-level")
    loss = loss_of_run(factory, arguments, Settled("cpu", False, 0.0), [reader])(
        tiny_sentence_transformer(1), Targets()
    )
    check_loss_supports(loss, factory, arguments)
    alpha_schedule(loss, arguments, 0).on_step_begin(None, TrainerState(global_step=3, max_steps=4), None)
    assert loss.sentence.alpha == 0.25


@pytest.mark.parametrize("word", ["attention-mse", "multi-level"])
def test_a_teacher_without_layers_is_refused(toy_collection, tmp_path, word):
    store = Store(tmp_path / "store")
    with pytest.raises(InputError, match=r"got bm25 \(bm25\).*nothing to compare the student's words with"):
        trainer_of(
            tmp_path / "out", tmp_path / "store", toy_collection, word, teacher=BM25(store=store), assistants=[]
        )
    assert not (tmp_path / "out").exists()


def test_an_assistant_reads_where_it_is_named():
    reader = CrossEncoderScorer(tiny_cross_encoder(**WIDE), name="reader", precision="fp32")
    assert reading_model([BM25(), reader], "reader", "x").config == reader.model.config
    with pytest.raises(InputError, match="as 'nobody'.*got bm25"):
        reading_model([BM25(), reader], "nobody", "x")
    make = loss_of_run(
        find_loss("attention-mse"),
        toy_arguments("unused", loss="attention-mse", loss_options={"reader": "reader"}),
        Settled("cpu", False, 0.0),
        [BM25(), reader],
    )
    assert make(tiny_sentence_transformer(1), Targets()).teacher.config == reader.model.config


class Targets:
    student_scale = alpha = 1.0


def test_of_a_fusion_the_first_part_with_layers_reads():
    inside = CrossEncoderScorer(tiny_cross_encoder(**WIDE), name="inside", precision="fp32")
    fused = FusedScorer([BM25(), FusedScorer([inside], [1.0])], [1.0, 1.0])
    assert reading_model([fused], None, "x").config == inside.model.config
    with pytest.raises(InputError, match="fusion"):
        reading_model([FusedScorer([BM25()], [1.0])], None, "x")


def test_a_teacher_of_other_texts_cannot_read_the_students_words(toy_collection):
    reader = with_view(CrossEncoderScorer(tiny_cross_encoder(**WIDE), name="T"), corpus=toy_collection.corpus)
    with pytest.raises(InputError, match=r"own texts, as the teacher, got T \(cross-encoder, reading a view\)"):
        reading_model([reader], None, "x")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_reading_leaves_the_users_model_alone_and_holds_no_weights_of_its_own(precision):
    model = tiny_sentence_transformer(2).train()
    scorer = BiEncoderScorer(model, name="B", precision=precision)
    reading = reading_model([scorer], None, "x").eval().requires_grad_(False)
    assert model.training and all(weight.requires_grad for weight in model.parameters())
    shared = {weight.data_ptr() for weight in scorer.model.parameters()}
    assert {weight.data_ptr() for weight in reading.parameters()} == shared


def test_the_command_line_takes_json_and_a_section():
    needed = {"collection": "pydocs", "teacher": "bm25", "student": "minilm", "output_dir": "out"}
    for given in ('{"word_weight": 0.5, "layers": "last"}', {"word_weight": 0.5, "layers": "last"}):
        options = typed_options(DistillConfig, needed | {"loss": "multi-level", "loss-options": given}, "here")
        config = DistillConfig(**options)
        assert config.loss_options == {"word_weight": 0.5, "layers": "last"}
        assert training_arguments(config).loss_options == config.loss_options
    with pytest.raises(InputError, match="loss-options in here as JSON"):
        typed_options(DistillConfig, needed | {"loss-options": "word_weight"}, "here")
    with pytest.raises(InputError, match="write 'word_weight' instead"):
        DistillConfig(**needed, loss="multi-level", loss_options={"word_wieght": 1})
