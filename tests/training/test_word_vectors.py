"""Only the word vectors that occur in a training are trained, and the student is the same as with all of them."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from torch import nn
from transformers import TrainerCallback
from transformers.training_args import OptimizerNames

from st_mta.losses import ListwiseKLLoss
from st_mta.scored import ScoredCandidates
from st_mta.training import checkpoints, word_vectors
from st_mta.training.collator import FlatDocumentsCollator, listwise_dataset
from st_mta.training.word_vectors import OccurringWords, occurring_words, take_whole_moments
from st_mta.types import Candidates, Texts
from tests.tiny import tiny_sentence_transformer
from tests.training.toy_run import toy_arguments

CORPUS = Texts.from_dict({f"p{i}": text for i, text in enumerate(["the cat", "a dog runs fast", "sun", "old bread"])})
QUERIES = Texts.from_dict({f"q{i}": text for i, text in enumerate(["cat", "who runs", "light", "milk water"])})
LISTS = Candidates(
    queries=np.arange(4),
    offsets=np.arange(0, 13, 3),
    passages=np.array([0, 1, 2, 1, 0, 3, 2, 3, 1, 3, 2, 0]),
    positive=np.array([True, False, False] * 4),
    source=np.zeros(12, dtype=np.int64),
    sources=("qrels",),
)
SCORES = np.random.default_rng(0).normal(size=(1, 12)).astype(np.float32)
TABLE = "0.model.embeddings.word_embeddings.weight"
IDS = np.array([0, 2, 3, 50, 90])
ADAM = SimpleNamespace(weight_decay=0.0, optim=OptimizerNames.ADAMW_TORCH_FUSED)


def table_of(student):
    return student[0].model.embeddings.word_embeddings


def trained(folder, *, whole=False, student=None, **changes):
    """A student after some steps, and the optimiser's moments of each of its weights."""
    student = student or tiny_sentence_transformer(1)
    arguments = toy_arguments(folder / "out" / "checkpoints", num_train_epochs=4, learning_rate=0.01, **changes)
    arguments.per_device_train_batch_size = 2
    dataset = listwise_dataset(ScoredCandidates(LISTS, SCORES, ("T",)), QUERIES)
    collator = FlatDocumentsCollator(student.preprocess, corpus=CORPUS, documents_per_forward=2)
    loss = ListwiseKLLoss(student, scale=5.0)
    with pytest.MonkeyPatch.context() as patch:
        if whole:
            patch.setattr(word_vectors, "MOST_ROWS", 0.0)
        checkpoints.train_with_checkpoints(student, arguments, dataset, collator, loss)
    return student


def assert_near(one, other, **tolerance):
    ours, theirs = one.state_dict(), other.state_dict()
    assert list(ours) == list(theirs)
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], msg=name, **tolerance)


def moments(folder):
    path = max(folder.rglob("checkpoint-*/optimizer.pt"), key=lambda found: found.stat().st_mtime)
    return torch.load(path)["state"]


@pytest.mark.parametrize("optim", ["adamw_torch", "adamw_torch_fused"])
@pytest.mark.parametrize("max_grad_norm", [1.0, 0.0])
def test_the_student_is_the_same_as_with_all_of_them(tmp_path, optim, max_grad_norm):
    few = trained(tmp_path / "few", optim=optim, max_grad_norm=max_grad_norm)
    all_of_them = trained(tmp_path / "all", whole=True, optim=optim, max_grad_norm=max_grad_norm)
    assert len(moments(tmp_path / "few")[0]["exp_avg"]) < 50
    assert len(moments(tmp_path / "all")[0]["exp_avg"]) == len(table_of(few).weight)
    if max_grad_norm:
        assert_near(few, all_of_them, atol=2e-6, rtol=0)
    else:
        assert_near(few, all_of_them, atol=0, rtol=0)
    start = tiny_sentence_transformer(1).state_dict()[TABLE]
    assert 5 < (table_of(few).weight != start).any(1).sum() < 50


@pytest.mark.parametrize("changes", [{"weight_decay": 0.1}, {"optim": "adafactor"}])
def test_where_all_of_them_change_all_are_trained(tmp_path, changes):
    student = trained(tmp_path, **changes)
    if "weight_decay" in changes:
        unused = table_of(student).weight[-1]
        assert not torch.equal(unused, table_of(tiny_sentence_transformer(1)).weight[-1])
    assert_near(student, trained(tmp_path / "all", whole=True, **changes), atol=0, rtol=0)


def test_a_resumed_training_is_the_same_bit_for_bit(tmp_path, monkeypatch):
    expected = trained(tmp_path / "whole", save_steps=1)
    for saved_whole in (False, True):
        folder = tmp_path / str(saved_whole)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            steps = []
            step = checkpoints.StageTrainer.training_step

            def stopping(*given, steps=steps, step=step):
                steps.append(1)
                if len(steps) == 5:
                    raise KeyboardInterrupt
                return step(*given)

            patch.setattr(checkpoints.StageTrainer, "training_step", stopping)
            trained(folder, whole=saved_whole, save_steps=1, max_grad_norm=1.0)
        if saved_whole:  # by an earlier version
            assert len(moments(folder)[0]["exp_avg"]) == len(table_of(expected).weight)
        resumed = trained(folder, save_steps=1)
        assert len(moments(folder)[0]["exp_avg"]) < 50
        assert_near(resumed, expected, atol=2e-6 if saved_whole else 0, rtol=0)


def test_within_it_saved_models_are_whole(tmp_path):
    student = tiny_sentence_transformer(1)
    before = student.state_dict()[TABLE].clone()
    with occurring_words(student, IDS, ADAM) as [words]:
        assert student.get_parameter(TABLE) is words.weight and words.weight.shape == (5, 32)
        with torch.no_grad():
            words.weight += 1.0
        student.save_pretrained(str(tmp_path))
        given = student.state_dict()
    expected = before.clone()
    expected[IDS] += 1.0
    for found in (given[TABLE], table_of(SentenceTransformer(str(tmp_path))).weight, table_of(student).weight):
        assert torch.equal(found, expected)
    assert type(table_of(student)) is nn.Embedding and list(given) == list(student.state_dict())


def test_within_it_a_whole_model_is_loaded():
    student, other = tiny_sentence_transformer(1), tiny_sentence_transformer(2)
    with occurring_words(student, IDS, ADAM) as [words]:
        student.load_state_dict(other.state_dict())
        assert torch.equal(words.weight, table_of(other).weight[IDS])
    assert_near(student, other, atol=0, rtol=0)
    assert not torch.equal(table_of(tiny_sentence_transformer(1)).weight, table_of(other).weight)


def test_other_texts_are_read_as_before(caplog):
    student = tiny_sentence_transformer(1)
    texts = ["the cat runs", "zebra quartz", ""]
    expected = student.encode(texts)
    with occurring_words(student, IDS, ADAM) as [words]:
        np.testing.assert_array_equal(student.encode(texts), expected)
        assert not caplog.text
        ids = torch.tensor([[0, 50], [51, 90]])
        student.train()
        words(ids).sum().backward()
        assert words.weight.grad[:, 0].tolist() == [0, 0, 0, 1, 1]  # none for padding, none for the unknown
        words(ids)
    assert caplog.text.count("no text of this training") == 1


def test_after_an_error_the_student_is_whole():
    student = tiny_sentence_transformer(1)
    with pytest.raises(RuntimeError), occurring_words(student, IDS, ADAM):
        raise RuntimeError
    assert_near(student, tiny_sentence_transformer(1), atol=0, rtol=0)


def frozen(student):
    table_of(student).weight.requires_grad_(False)


def tied(student):
    student[0].model.head = nn.Linear(32, len(table_of(student).weight), bias=False)
    student[0].model.head.weight = table_of(student).weight


def hooked(student):
    table_of(student).register_forward_hook(lambda module, given, found: 2 * found)


def scaled(student):
    table_of(student).scale_grad_by_freq = True


def bounded(student):
    table_of(student).max_norm = 1.0


def sparse(student):
    table_of(student).sparse = True


def of_its_own(student):
    class Scaled(nn.Embedding):
        pass

    table_of(student).__class__ = Scaled


@pytest.mark.parametrize("change", [frozen, tied, hooked, scaled, bounded, sparse, of_its_own])
def test_tables_that_are_more_than_tables_are_left_alone(change):
    student = tiny_sentence_transformer(1)
    change(student)
    with occurring_words(student, IDS, ADAM) as words:
        assert words == []


@pytest.mark.parametrize(
    ("ids", "changes"),
    [
        (None, {}),
        (np.arange(200), {}),  # of 217 or so: little is saved
        (IDS, {"weight_decay": 0.01}),
        (IDS, {"optim": OptimizerNames.SGD}),
    ],
)
def test_trainings_that_need_all_of_them(ids, changes):
    with occurring_words(tiny_sentence_transformer(1), ids, SimpleNamespace(**{**vars(ADAM), **changes})) as words:
        assert words == []


def test_both_tables_of_a_router():
    routes = [list(tiny_sentence_transformer(seed)) for seed in (1, 2)]
    student = SentenceTransformer(modules=[Router.for_query_document(*routes)])
    tables = {name for name, _ in student.named_parameters() if "word_embeddings" in name}
    with occurring_words(student, np.append(IDS, 10**6), ADAM) as words:
        assert len(words) == 2 and all(len(one.weight) == 5 for one in words)
        assert {name for name, found in student.named_modules() if isinstance(found, OccurringWords)} == {
            name.removesuffix(".weight") for name in tables
        }


def test_moments_of_whole_tables_are_cut_and_others_left():
    student = tiny_sentence_transformer(1)
    whole = torch.optim.AdamW(student.parameters(), lr=0.1)
    student(student.preprocess(["the cat"]))["sentence_embedding"].sum().backward()
    whole.step()
    state = whole.state_dict()
    with occurring_words(student, IDS, ADAM) as words:
        few = torch.optim.AdamW(student.parameters(), lr=0.1)
        take_whole_moments(few, words)
        few.load_state_dict(state)
        assert torch.equal(few.state[words[0].weight]["exp_avg"], state["state"][0]["exp_avg"][IDS])
        few.load_state_dict(few.state_dict())
        assert few.state[words[0].weight]["exp_avg"].shape == (5, 32)
        for place in range(1, len(state["state"])):
            assert torch.equal(few.state_dict()["state"][place]["exp_avg"], state["state"][place]["exp_avg"])


class Shrinking(ListwiseKLLoss):
    """A user's own: it reads all weights."""

    def forward(self, features, labels):
        return super().forward(features, labels) + 1e-3 * sum(w.square().sum() for w in self.model.parameters())


def test_a_loss_of_the_users_own_may_read_the_whole_table():
    student = tiny_sentence_transformer(1)
    Shrinking.__module__ = "of_a_user"
    with occurring_words(student, IDS, ADAM, Shrinking(student)) as words:
        assert not words
    with occurring_words(student, IDS, ADAM, ListwiseKLLoss(student)) as words:
        assert words


def test_a_table_whose_gradient_is_hooked_stays_whole():
    student = tiny_sentence_transformer(1)
    table_of(student).weight.register_hook(torch.zeros_like)
    with occurring_words(student, IDS, ADAM) as words:
        assert not words


def test_a_copy_in_another_precision_is_one_throughout():
    student = tiny_sentence_transformer(1)
    with occurring_words(student, IDS, ADAM):
        copied = copy.deepcopy(student).to(torch.bfloat16)
        assert table_of(copied).table.weight.dtype == table_of(copied).weight.dtype == torch.bfloat16
        assert table_of(copied).whole().dtype == torch.bfloat16
        found = copied.encode(["cat light", "an unseen word"], show_progress_bar=False)
    assert table_of(student).weight.dtype == torch.float32
    expected = (
        copy.deepcopy(student).to(torch.bfloat16).encode(["cat light", "an unseen word"], show_progress_bar=False)
    )
    assert np.array_equal(found, expected)


def test_callbacks_of_the_users_see_the_whole_table(tmp_path):
    seen = []

    class Looking(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **_):
            seen.append(table_of(model).weight.shape)

    student = tiny_sentence_transformer(1)
    arguments = toy_arguments(tmp_path / "out" / "checkpoints", num_train_epochs=1)
    collator = FlatDocumentsCollator(student.preprocess, corpus=CORPUS)
    dataset = listwise_dataset(ScoredCandidates(LISTS, SCORES, ("T",)), QUERIES)
    loss = ListwiseKLLoss(student, scale=5.0)
    checkpoints.train_with_checkpoints(student, arguments, dataset, collator, loss, callbacks=[Looking()])
    assert set(seen) == {table_of(student).weight.shape}
