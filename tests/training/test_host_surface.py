"""What of the host's trainer works here works as there; what cannot is refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformerTrainer
from transformers import EarlyStoppingCallback, TrainerCallback

from st_mta import MultiAssistantTrainer
from st_mta.errors import InputError
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.trainer import MADE_BY_THE_RUN
from tests.tiny import tiny_sentence_transformer
from tests.training.toy_run import toy_arguments, toy_trainer


class Collect(TrainerCallback):
    def __init__(self):
        self.steps, self.logs, self.evaluations = 0, 0, 0

    def on_step_end(self, args, state, control, **_):
        self.steps += 1

    def on_log(self, args, state, control, **_):
        self.logs += 1

    def on_evaluate(self, args, state, control, **_):
        self.evaluations += 1


@pytest.fixture(scope="module")
def done(tmp_path_factory, toy_collection):
    """A trained trainer whose callbacks were given in three ways."""
    folder = tmp_path_factory.mktemp("surface")
    given, added, removed = Collect(), Collect(), Collect()
    trainer = toy_trainer(folder / "out", folder / "store", toy_collection, callbacks=[given, removed])
    trainer.add_callback(added)
    trainer.add_callback(Collect)
    trainer.remove_callback(removed)
    report = trainer.train()
    return trainer, report, (given, added, removed), folder


def test_callbacks_given_and_added_see_every_training_and_removed_ones_none(done):
    trainer, report, (given, added, removed), _ = done
    steps = report["compute"]["training_steps"]
    assert steps > 0 and given.steps == added.steps == steps and removed.steps == 0
    assert [type(c) for c in trainer.callback_handler.callbacks].count(Collect) == 3
    assert trainer.callback_handler.callbacks[-1].steps == steps


def test_the_state_holds_the_log_of_all_trainings(done):
    trainer, report, _, folder = done
    assert trainer.state.global_step == report["compute"]["training_steps"]
    history = trainer.state.log_history
    assert [entry["training"] for entry in history] == sorted(
        (entry["training"] for entry in history), key=["warm-up", "iteration-00", "iteration-01"].index
    )
    assert {"warm-up", "iteration-00"} <= {entry["training"] for entry in history}
    assert any("loss" in entry for entry in history)
    steps = [entry["step"] for entry in history]
    assert steps == sorted(steps) and steps[-1] == trainer.state.global_step
    trainer.save_state()
    assert json.loads((folder / "out" / "trainer_state.json").read_text())["global_step"] == steps[-1]


def test_a_resumed_trainer_has_the_same_state(done, toy_collection):
    trainer, _, _, folder = done
    again = toy_trainer(folder / "out", folder / "store", toy_collection)
    again.train(resume_from_checkpoint=str(folder / "out"))
    assert again.state.log_history == trainer.state.log_history


def test_evaluate_measures_the_student_on_dev(done):
    trainer, report, _, _ = done
    metrics = trainer.evaluate(metric_key_prefix="dev")
    kept = report["kept"]
    expected = report["warm_up"]["dev_ndcg@10"] if kept == "warm-up" else report["iterations"][-1]["dev"]["ndcg@10"]
    (value,) = (value for name, value in metrics.items() if name.endswith("ndcg@10"))
    assert all(name.startswith("dev_") or name == "epoch" for name in metrics) and value == pytest.approx(
        expected, abs=1e-6
    )
    with pytest.raises(InputError, match="eval_dataset"):
        trainer.evaluate(eval_dataset=[1])


def test_an_early_stopping_callback_and_the_best_model_work_in_every_training(toy_collection, tmp_path):
    options = {
        "eval_strategy": "steps", "eval_steps": 2, "save_steps": 2, "load_best_model_at_end": True,
        "metric_for_best_model": "eval_toy_dev_ndcg@10", "num_iterations": 1,
    }  # fmt: skip
    callbacks = [EarlyStoppingCallback(2), collect := Collect()]
    toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, callbacks=callbacks, **options).train()
    assert collect.evaluations > 0


@pytest.mark.parametrize("name", MADE_BY_THE_RUN)
def test_what_has_no_meaning_is_refused(done, name):
    with pytest.raises(InputError, match=f"{name}.*no effect"):
        getattr(done[0], name)()


@pytest.mark.parametrize("arguments", [{"trial": 1}, {"ignore_keys_for_eval": ["x"]}])
def test_arguments_of_train_that_would_have_no_effect_are_refused(done, arguments):
    with pytest.raises(InputError, match="hyperparameter_search"):
        done[0].train(**arguments)


def test_an_unknown_argument_of_train_is_refused(done):
    with pytest.raises(TypeError, match="resume"):
        done[0].train(resume=True)


def test_resuming_from_elsewhere_is_refused(done, tmp_path):
    with pytest.raises(InputError, match="resume_from_checkpoint"):
        done[0].train(resume_from_checkpoint=str(tmp_path))


def test_a_subclass_whose_step_would_be_ignored_is_refused(toy_collection, tmp_path):
    class Own(MultiAssistantTrainer):
        def compute_loss(self, *arguments, **keywords):
            return 0

    with pytest.raises(InputError, match="overridden compute_loss"):
        Own(tiny_sentence_transformer(1), toy_arguments(tmp_path), teacher="bm25", collection=toy_collection)


def test_arguments_of_the_host_alone_are_refused(toy_collection, tmp_path):
    from sentence_transformers import SentenceTransformerTrainingArguments

    with pytest.raises(InputError, match="MultiAssistantTrainingArguments"):
        MultiAssistantTrainer(
            tiny_sentence_transformer(1),
            SentenceTransformerTrainingArguments(str(tmp_path), use_cpu=True),
            teacher="bm25",
            collection=toy_collection,
        )


def test_a_trainer_changes_neither_arguments_nor_student_and_two_can_share_them(toy_collection, tmp_path):
    arguments = toy_arguments(tmp_path / "out", max_length=16, precision="bf16", prompts={"query": "the "})
    before, student = arguments.to_dict(), tiny_sentence_transformer(1)
    length, prompts = student.max_seq_length, dict(student.prompts)
    for teacher in (tiny_sentence_transformer(2), tiny_sentence_transformer(2, dim=48)):
        # The second teacher is wider: an open regression_weight is settled otherwise than for the first.
        MultiAssistantTrainer(student, arguments, teacher=teacher, collection=toy_collection, store=tmp_path / "s")
    assert arguments.to_dict() == before and arguments.regression_weight is None
    assert (student.max_seq_length, dict(student.prompts)) == (length, prompts)
    assert not list((tmp_path / "out").iterdir())


def test_defaults_differ_from_the_hosts_where_they_say_so():
    arguments = MultiAssistantTrainingArguments("x", use_cpu=True)
    assert (arguments.learning_rate, arguments.per_device_train_batch_size, arguments.seed) == (1e-4, 32, 42)
    assert "num_candidates (default None): Passages per query" in MultiAssistantTrainingArguments.__doc__


class WriteBesideCheckpoints(TrainerCallback):
    def on_log(self, args, state, control, logs=None, **_):
        folder = Path(args.output_dir) / "runs"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "log.csv").open("a") as file:
            file.write(f"{state.global_step}\n")


def test_a_finished_student_is_published_once_and_logs_of_callbacks_stay(toy_collection, tmp_path, monkeypatch):
    pushed = []
    monkeypatch.setattr("st_mta.training.trainer.push_run", lambda folder, name, **_: pushed.append((folder, name)))
    monkeypatch.setattr(MultiAssistantTrainer, "init_hf_repo", lambda self: setattr(self, "hub_model_id", "me/out"))
    monkeypatch.setattr(SentenceTransformerTrainer, "push_to_hub", lambda *_, **__: pushed.append("a stage"))
    options = {"num_iterations": 1, "push_to_hub": True, "callbacks": [WriteBesideCheckpoints()]}
    toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options).train()
    assert pushed == [(tmp_path / "out", "me/out")]
    for name in ("warm-up", "iteration-00"):
        assert len((tmp_path / "out" / name / "checkpoints/runs/log.csv").read_text().splitlines()) > 1
    assert not list((tmp_path / "out").rglob("checkpoint-*"))
