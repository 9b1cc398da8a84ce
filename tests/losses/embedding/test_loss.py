"""EmbeddingDistillationLoss: its value, its forms of label, cuts, and what it does inside the host's trainer."""

from __future__ import annotations

import json

import pytest
import torch
from datasets import Dataset
from sentence_transformers.sentence_transformer.losses import EmbedDistillLoss, MatryoshkaLoss
from transformers import TrainerCallback

from st_mta.errors import InputError
from st_mta.losses import EmbeddingDistillationLoss, KeepLossWeights
from st_mta.losses.embedding.terms import TERMS
from tests import reference
from tests.losses.conftest import COLUMNS, features_of, stock_trainer
from tests.losses.embedding.conftest import TEXTS, normal, orthonormal, units
from tests.tiny import tiny_sentence_transformer

NAMES = ("query", "positive", "negative_1", "negative_2")
EVERY = {word: 0.5 + index for index, word in enumerate(TERMS)}


def labelled(loss):
    return loss.label(Dataset.from_dict(dict(zip(NAMES, COLUMNS)) | {"more": TEXTS[:4]}))


def gradient(loss, features, label):
    loss.zero_grad()
    value = loss(features, label)
    value.backward()
    return value.item(), torch.cat([p.grad.flatten() for p in loss.model.parameters() if p.grad is not None])


def test_it_is_the_weighted_sum_of_the_references(student):
    loss = EmbeddingDistillationLoss(student, terms=EVERY)
    embeddings, label = [normal(4, 32, seed=seed) for seed in (1, 2)], normal(4, 2, 32)
    rows = [row for column in embeddings for row in column.double().tolist()]
    targets = [row for column in label.unbind(dim=1) for row in column.double().tolist()]
    expected = sum(weight * getattr(reference, f"embedding_{word}")(rows, targets) for word, weight in EVERY.items())
    assert loss.compute_loss_from_embeddings(embeddings, label).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("word", ["cosine", "mse", "l2"])
def test_at_equal_widths_it_is_the_hosts_loss(student, word):
    label = normal(4, 4, 32)
    ours, theirs = EmbeddingDistillationLoss(student, terms={word: 1.0}), EmbedDistillLoss(student, word)
    (value, slope), (expected, their_slope) = (gradient(one, features_of(student), label) for one in (ours, theirs))
    assert value == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(slope, their_slope, atol=1e-6, rtol=1e-4)


def test_one_target_for_all_columns_is_broadcast(student):
    loss, label = EmbeddingDistillationLoss(student, terms={"cosine": 1.0, "gram": 1.0}), normal(4, 32)
    whole = loss(features_of(student), label[:, None].expand(-1, 4, -1))
    assert loss(features_of(student), label).item() == pytest.approx(whole.item())
    assert loss(features_of(student)[:1], label).item() == pytest.approx(
        loss(features_of(student)[:1], label[:, None]).item()
    )


def test_terms_are_logged_by_their_words(student):
    loss = EmbeddingDistillationLoss(student, terms={"gram": 3.0, "cosine": 1.0}, return_components=True)
    terms, label = loss(features_of(student), normal(4, 32)), normal(4, 32)
    loss.return_components = False
    assert list(terms) == ["gram", "cosine"]
    assert sum(terms.values()).item() == pytest.approx(loss(features_of(student), label).item())


def test_over_the_batch_targets_of_any_width_need_no_map(student):
    loss, label = EmbeddingDistillationLoss(student, terms={"gram": 1.0, "relative": 1.0}), normal(4, 4, 7)
    value, slope = gradient(loss, features_of(student), label)
    turned = (label @ orthonormal(7, 50)).contiguous()
    assert value == pytest.approx(gradient(loss, features_of(student), turned)[0], rel=1e-4)
    assert slope.abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["procrustes", "learned", "orthogonal"])
def test_an_orthonormal_copy_of_a_teacher_is_that_teacher(student, kind):
    """Wider by an isometry: nothing about the loss or its gradient changes."""
    own = tiny_sentence_transformer(seed=5)
    texts, label = own.encode(TEXTS), torch.stack([own.encode(c, convert_to_tensor=True) for c in COLUMNS], dim=1)
    turn = orthonormal(32, 80)
    found = []
    for turned in (torch.eye(32), turn):
        loss = EmbeddingDistillationLoss(
            student, map=kind, terms={"cosine": 1.0, "mse": 1.0 if turned is turn else 1.0}
        )
        loss.terms = {"cosine": 1.0, "gram": 1.0}
        loss.fit(TEXTS, texts @ turned.numpy())
        found.append(gradient(loss, features_of(student), label @ turned))
    (value, slope), (wide_value, wide_slope) = found
    assert value == pytest.approx(wide_value, abs=1e-5) and value > 0.1
    torch.testing.assert_close(slope, wide_slope, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("dim", [48, 24, 12])
def test_a_teacher_given_twice_is_the_teacher_given_once(student, dim):
    teacher = tiny_sentence_transformer(dim, dim=dim)
    found = []
    for teachers in ([teacher], [teacher, teacher]):
        loss = EmbeddingDistillationLoss(student, teachers=teachers, terms=EVERY)
        label = torch.tensor(
            loss.label(Dataset.from_dict(dict(zip(NAMES, COLUMNS)) | {"more": TEXTS[:4]}))["label"][:]
        )
        features = [*features_of(student), student.preprocess(TEXTS[:4])]
        found.append(gradient(loss, features, label))
    (once, slope), (twice, twice_slope) = found
    assert once == pytest.approx(twice, abs=1e-6 * sum(EVERY.values())) and once > 0.1
    torch.testing.assert_close(slope, twice_slope, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", ["procrustes", "learned", "none"])
def test_cuts_are_the_sum_over_the_hosts_matryoshka_loss(student, wide, kind):
    terms = {"gram": 2.0, "spread": 1.0} if kind == "none" else {"cosine": 1.0, "mse": 3.0, "gram": 2.0}
    options = {"teachers": wide, "terms": terms, "map": kind}
    dims, weights = [8, 32, 16], [0.5, 1.0, 2.0]
    cut = EmbeddingDistillationLoss(student, **options, matryoshka_dims=dims, matryoshka_weights=weights)
    inner = EmbeddingDistillationLoss(student, **options)
    dataset = Dataset.from_dict(dict(zip(NAMES, COLUMNS)))
    features, found = features_of(student), []
    for loss, label in ((cut, cut.label(dataset)), (inner, inner.label(dataset))):
        wrapped = MatryoshkaLoss(student, loss, dims, weights) if loss is inner else loss
        found.append(gradient(wrapped, features, torch.tensor(label["label"][:])))
    (value, slope), (expected, their_slope) = found
    assert value == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(slope, their_slope, atol=1e-5, rtol=1e-4)
    assert cut.get_config_dict()["matryoshka_dims"] == [32, 16, 8]


def test_distances_alone_are_no_help_for_a_cut_student(student, caplog):
    EmbeddingDistillationLoss(student, matryoshka_dims=[32, 8], terms={"gram": 1.0})
    assert not caplog.records
    EmbeddingDistillationLoss(student, matryoshka_dims=[32, 8])
    assert 'such as "gram"' in caplog.text


@pytest.mark.parametrize(("dims", "weights"), [([64], None), ([], None), ([8], [1.0, 2.0]), ([8], [-1.0])])
def test_cuts_that_do_not_fit_are_refused(student, dims, weights):
    with pytest.raises(InputError, match="matryoshka"):
        EmbeddingDistillationLoss(student, matryoshka_dims=dims, matryoshka_weights=weights)


@pytest.mark.parametrize(
    ("label", "got"),
    [
        (None, "got no label"),
        (normal(4, 3, 32), r"got \(4, 3, 32\)"),
        (normal(3, 32), r"got \(3, 32\)"),
        (normal(4), r"got \(4,\) of float32"),
        (torch.zeros(4, 3, dtype=torch.int64), r"got \(4, 3\) of int64"),
        ({"query_targets": normal(4, 32)}, r"query_targets \(4, 32\)"),
        ({"query_targets": normal(4, 32), "document_targets": normal(4, 32)}, r"document_targets \(12, D\)"),
        (normal(4, 32) / 0, "NaN or infinity"),
    ],
)
def test_a_label_that_does_not_fit_is_refused(student, label, got):
    with pytest.raises(InputError, match=got):
        EmbeddingDistillationLoss(student)(features_of(student), label)


def test_another_width_without_a_map_says_the_line_to_write(student):
    with pytest.raises(InputError, match=r"`loss.fit\(texts, embeddings\)`.*`map='learned', teacher_dim=48`"):
        EmbeddingDistillationLoss(student)(features_of(student), normal(4, 48))


def test_queries_search_the_teachers_index(student, wide, tmp_path):
    loss = EmbeddingDistillationLoss(student, teachers=wide)
    loss.label(Dataset.from_dict({"text": TEXTS}))
    loss.save_map(tmp_path)
    other = EmbeddingDistillationLoss(student)
    other.load_map(tmp_path)
    queries = student.encode(TEXTS[:3])
    expected = queries @ loss.map.matrix.numpy().T
    assert torch.allclose(loss.to_teacher(torch.from_numpy(queries)), torch.from_numpy(expected), atol=1e-6)
    assert abs(other.to_teacher(queries) - expected).max() < 1e-6 and expected.shape == (3, 48)


def test_the_card_names_what_was_used(student, teachers):
    loss = EmbeddingDistillationLoss(student, teachers=teachers, weights=[3, 1], terms=EVERY, map="orthogonal")
    config = json.loads(json.dumps(loss.get_config_dict()))
    assert config["weights"] == [0.75, 0.25] and config["map"] == "orthogonal" and config["terms"] == EVERY
    assert [key in loss.citation for key in ("kim2023", "zhang2024jasper", "zhang2017", "miles2024")] == [True] * 4
    assert EmbeddingDistillationLoss(student).citation.count("@") == 1


@pytest.mark.parametrize("map_", ["procrustes", "learned", "orthogonal"])
def test_three_lines_in_a_stock_trainer(student, teachers, tmp_path, map_):
    loss = EmbeddingDistillationLoss(student, teachers=teachers, terms={"cosine": 1.0, "gram": 2.0}, map=map_)
    dataset = labelled(loss)
    before = loss.map.as_matrix().clone()
    trainer = stock_trainer(student, loss, tmp_path, max_steps=4)
    trainer.train_dataset = trainer.preprocess_dataset(dataset, dataset_name="train")
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < 0.9 * losses[0]
    assert torch.equal(loss.map.as_matrix(), before) == (map_ == "procrustes")


def test_a_stream_in_a_stock_trainer(student, wide, tmp_path):
    loss = EmbeddingDistillationLoss(student, teachers=wide)
    stream = loss.label(Dataset.from_dict({"text": TEXTS}).to_iterable_dataset(), batch_size=16)
    trainer = stock_trainer(student, loss, tmp_path, max_steps=6)
    trainer.train_dataset = trainer.preprocess_dataset(stream, dataset_name="train")
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 6 and losses[-1] < losses[0]


class Kill(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize("map_", ["procrustes", "learned"])
def test_killed_and_resumed_gives_the_same_bits(tmp_path, wide, map_):
    def train(name, *, resume=False, kill=False):
        student = tiny_sentence_transformer(seed=1)
        loss = EmbeddingDistillationLoss(student, teachers=wide, map=map_, terms={"cosine": 1.0, "relative": 1.0})
        dataset = labelled(loss)
        options = {"max_steps": 5, "per_device_train_batch_size": 2, "save_strategy": "steps", "save_steps": 2}
        callbacks = [KeepLossWeights(loss), *([Kill()] if kill else [])]
        trainer = stock_trainer(student, loss, tmp_path / name, callbacks=callbacks, **options)
        trainer.train_dataset = trainer.preprocess_dataset(dataset, dataset_name="train")
        trainer.train(resume_from_checkpoint=resume)
        return loss.state_dict()

    whole = train("whole")
    with pytest.raises(KeyboardInterrupt):
        train("killed", kill=True)
    resumed = train("killed", resume=True)
    assert "map.matrix" in whole and all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_a_resumed_run_need_not_fit_again(tmp_path, wide):
    """Embeddings as labels: the map comes from the checkpoint."""
    dataset = Dataset.from_dict({"text": TEXTS, "label": units(wide.encode(TEXTS)).tolist()})
    for resume in (False, True):
        student = tiny_sentence_transformer(seed=1)
        loss = EmbeddingDistillationLoss(student)
        if not resume:
            loss.fit(TEXTS, wide.encode(TEXTS))
            matrix = loss.map.matrix.clone()
        options = {"max_steps": 3 + resume, "save_strategy": "steps", "save_steps": 3}
        trainer = stock_trainer(student, loss, tmp_path, callbacks=[KeepLossWeights(loss)], **options)
        trainer.train_dataset = trainer.preprocess_dataset(dataset, dataset_name="train")
        trainer.train(resume_from_checkpoint=resume)
    assert torch.equal(loss.map.matrix, matrix)
