from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sentence_transformers import MultiVectorEncoder, SentenceTransformer

from st_mta.collections import from_dictionaries
from st_mta.errors import InputError
from st_mta.recipes import make_assistants as module
from st_mta.recipes.make_assistants import ASSISTANTS, make_assistants
from st_mta.recipes.tune import TuningSettings, column_dataset, tunable_collection, tuning_lists
from st_mta.scorers import BM25
from tests.tiny import saved, tiny_cross_encoder, tiny_sentence_transformer

SETTINGS = TuningSettings(epochs=2, batch_size=8, learning_rate=1e-3, num_negatives=2, device="cpu", save_steps=2)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return saved(tiny_sentence_transformer(0, layers=3), tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def made(toy_collection, base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return folder, make_assistants(
        base,
        toy_collection,
        folder,
        kinds=list(ASSISTANTS),
        teacher=tiny_cross_encoder(1),
        settings=SETTINGS,
        store=folder / "store",
    )


def test_every_kind_is_made_and_measured(made, base):
    folder, assistants = made
    assert [one.name for one in assistants] == [base, "bm25", *ASSISTANTS]
    assert all(0 <= one.dev["ndcg@10"] <= 1 for one in assistants)
    kept = json.loads((folder / "assistants.json").read_text())
    assert [(one["name"], one["dev"]) for one in kept] == [(one.name, one.dev) for one in assistants]
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == sorted([*ASSISTANTS, "store"])


def test_they_differ_in_depth_pooling_and_kind(made):
    folder, _ = made
    assert SentenceTransformer(str(folder / "shallow")).transformers_model.config.num_hidden_layers == 2
    assert "cls" in SentenceTransformer(str(folder / "pooled"))[1].pooling_mode
    assert "mean" in SentenceTransformer(str(folder / "contrastive"))[1].pooling_mode
    assert isinstance(MultiVectorEncoder(str(folder / "late-interaction")), MultiVectorEncoder)


def test_tuning_helps_on_its_own_queries(toy_collection, base, tmp_path):
    """On the training queries, where a tiny model can show that it learned."""
    learned = replace(toy_collection, qrels={**toy_collection.qrels, "dev": toy_collection.qrels["train"]})
    settings = replace(SETTINGS, epochs=10)
    untuned, _, tuned = make_assistants(base, learned, tmp_path, kinds=["contrastive"], settings=settings)
    assert tuned.dev["ndcg@10"] > untuned.dev["ndcg@10"] + 0.1


def test_what_is_there_is_not_made_again(made, toy_collection, base, monkeypatch):
    folder, before = made

    def never(*_):
        raise AssertionError("made again")

    for kind in ASSISTANTS:
        monkeypatch.setitem(module.ASSISTANTS, kind, never)
    options = {"teacher": tiny_cross_encoder(1), "settings": SETTINGS, "store": folder / "store"}
    assert make_assistants(base, toy_collection, folder, kinds=list(ASSISTANTS), **options) == before


def test_a_killed_tuning_goes_on_to_the_same_weights(made, toy_collection, base, tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    def kill(self, args, state, control, **_):
        if state.global_step == 4:
            raise Killed

    options = {"kinds": ["contrastive"], "settings": SETTINGS}
    with monkeypatch.context() as patch:
        patch.setattr("st_mta.training.checkpoints.StepBarCallback.on_step_end", kill)
        with pytest.raises(Killed):
            make_assistants(base, toy_collection, tmp_path, **options)
    assert not (tmp_path / "contrastive").exists()
    # Other kinds and a teacher were named where the same assistant was made in one go.
    assert (tmp_path / "contrastive.tuning" / "checkpoints" / "checkpoint-2").exists()
    make_assistants(base, toy_collection, tmp_path, **options)
    whole = SentenceTransformer(str(made[0] / "contrastive")).state_dict()
    again = SentenceTransformer(str(tmp_path / "contrastive")).state_dict()
    assert all(np.array_equal(whole[name], again[name]) for name in whole)


def test_another_configuration_is_refused(made, toy_collection, base):
    options = {"teacher": tiny_cross_encoder(1), "settings": replace(SETTINGS, epochs=3)}
    with pytest.raises(InputError, match=r"epochs=3 \(was 2\)"):
        make_assistants(base, toy_collection, made[0], **options)


def test_kinds_may_grow_also_by_one_that_needs_a_teacher(toy_collection, base, tmp_path):
    make_assistants(base, toy_collection, tmp_path, kinds=["pooled"], settings=SETTINGS)
    both = ["pooled", "imitating"]
    made = make_assistants(
        base, toy_collection, tmp_path, kinds=both, teacher=tiny_cross_encoder(1), settings=SETTINGS
    )
    assert [one.name for one in made[2:]] == both
    with pytest.raises(InputError, match="teacher="):
        make_assistants(base, toy_collection, tmp_path, kinds=both, teacher=tiny_cross_encoder(2), settings=SETTINGS)


@pytest.mark.parametrize(
    ("kinds", "message"),
    [(["pooled", "imitating"], "a teacher"), (["bigger"], "bigger"), (["pooled", "pooled"], "different assistants")],
)
def test_what_cannot_be_made_is_refused(toy_collection, base, tmp_path, kinds, message):
    with pytest.raises(InputError, match=message):
        make_assistants(base, toy_collection, tmp_path / "out", kinds=kinds, settings=SETTINGS)
    assert not (tmp_path / "out").exists()


def test_without_training_judgements_there_is_nothing_to_tune_on():
    collection = from_dictionaries("bare", {"p": "a", "r": "b"}, {"q": "a"}, {"dev": {"q": {"p": 1}}})
    with pytest.raises(InputError, match="training queries"):
        tunable_collection(collection, SETTINGS)


def test_columns_hold_the_positive_first_and_leave_short_lists_out(toy_collection):
    lists = tuning_lists(toy_collection, [BM25()], replace(SETTINGS, range_max=3))
    dataset, kept = column_dataset(toy_collection, lists)
    assert dataset.column_names == ["query", "positive", "negative_1", "negative_2"]
    assert len(dataset) == len(kept) == int((lists.lengths == 3).sum())
    for row, query in zip(dataset, toy_collection.queries.take_ids(kept.queries)):
        positive = next(iter(toy_collection.qrels["train"][query]))
        assert row["query"] == toy_collection.queries[query]
        assert row["positive"] == toy_collection.corpus[positive]
        assert row["positive"] not in (row["negative_1"], row["negative_2"])
