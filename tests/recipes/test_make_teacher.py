from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from st_mta.cli.main import main
from st_mta.collections import from_dictionaries
from st_mta.errors import InputError
from st_mta.mining import mine
from st_mta.recipes import labelling
from st_mta.recipes import make_teacher as module
from st_mta.recipes.make_teacher import choose_teacher, make_teacher
from st_mta.recipes.tune import TuningSettings
from st_mta.scored import ScoredCandidates
from st_mta.scorers import BM25, FusedScorer, load_scorer
from st_mta.types import Scorer
from tests import reference
from tests.tiny import saved, tiny_sentence_transformer

SETTINGS = TuningSettings(epochs=1, batch_size=8, learning_rate=1e-3, num_negatives=3, device="cpu", max_length=16)


class Knows(Scorer):
    """Right about the queries it knows, noise elsewhere; its scores have any scale."""

    kind = "stored"

    def __init__(self, name, known, scale, seed):
        self.name, self.known, self.scale, self.seed = name, known, scale, seed

    @property
    def fingerprint(self):
        return self.name

    def score(self, queries, corpus, query_positions, passage_positions):
        noise = np.random.default_rng(self.seed).normal(size=(len(queries), len(corpus)))
        noise = noise[query_positions, passage_positions]
        right = (query_positions == passage_positions) & self.known(query_positions)
        return (self.scale * (noise + 4 * right)).astype(np.float32)


@pytest.fixture(scope="module")
def judged(toy_collection):
    """The toy collection with all its queries as development queries."""
    qrels = {f"q{number}": {f"p{number}": 1} for number in range(40)}
    return replace(toy_collection, qrels={"train": toy_collection.qrels["train"], "dev": qrels})


def test_a_fusion_of_scorers_that_know_different_queries_wins(judged, tmp_path):
    one, other = Knows("one", lambda q: q % 4 < 2, 1.0, 1), Knows("other", lambda q: q % 4 >= 2, 100.0, 2)
    found = choose_teacher(judged, [one, other], [BM25()], ["one", "other"], tmp_path, num_candidates=20)
    assert found.teacher == str(tmp_path / "teacher.fusion.json")
    assert found.ndcg["fusion"] > max(found.ndcg["one"], found.ndcg["other"])
    assert found.weights["one"] / found.weights["other"] == pytest.approx(100, rel=0.5)
    assert json.loads(Path(found.teacher).read_text())["weights"] == list(found.weights.values())


def test_noise_is_left_out_and_a_single_best_scorer_is_taken_alone(judged, tmp_path):
    knows, noise = Knows("knows", lambda q: q >= 0, 1.0, 1), Knows("noise", lambda q: q < 0, 1.0, 2)
    found = choose_teacher(judged, [noise, knows], [BM25()], ["noise", "knows"], tmp_path, num_candidates=20)
    assert found.teacher == "knows" or found.ndcg["fusion"] > found.ndcg["knows"]
    assert found.weights["knows"] > 5 * found.weights.get("noise", 0)


def test_a_scorer_that_knows_nothing_at_all_has_no_weight(judged, tmp_path):
    knows, constant = Knows("knows", lambda q: q >= 0, 1.0, 1), Knows("constant", lambda q: q < 0, 0.0, 2)
    found = choose_teacher(judged, [constant, knows], [BM25()], ["constant", "knows"], tmp_path, num_candidates=20)
    assert found.weights["knows"] > 0 and "constant" not in found.weights


def test_one_scorer_needs_no_fusion(judged, tmp_path):
    found = choose_teacher(judged, [BM25()], [BM25()], ["bm25"], tmp_path, num_candidates=20)
    assert (found.teacher, found.weights, list(found.ndcg)) == ("bm25", {}, ["bm25"])


def test_the_fusion_is_measured_on_queries_it_was_not_fitted_on(judged, monkeypatch):
    """Weights fitted on even rows take the first scorer, those fitted on odd rows the second."""
    lists = mine(judged, judged.queries_of("dev"), [BM25()], None, num_candidates=20)
    scores = np.arange(2 * len(lists.passages), dtype=np.float32).reshape(2, -1)
    even = lists.queries[0]
    monkeypatch.setattr(module, "_fit", lambda some: [1.0, 0.0] if some.candidates.queries[0] == even else [0.0, 1.0])
    fused = module._crossed(ScoredCandidates(lists, scores))
    assert np.array_equal(fused, np.where(lists.rows % 2 == 1, *scores))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return saved(tiny_sentence_transformer(0), tmp_path_factory.mktemp("base"))


def test_a_cross_encoder_is_tuned_and_can_be_used_as_named(toy_collection, base, tmp_path, monkeypatch):
    options = {"fuse_with": ["bm25", base], "settings": SETTINGS, "store": tmp_path / "store"}
    found = make_teacher(base, toy_collection, tmp_path / "teacher", **options)
    assert list(found.ndcg) == [str(tmp_path / "teacher" / "cross-encoder"), "bm25", base, "fusion"]
    assert json.loads((tmp_path / "teacher" / "teacher.json").read_text())["ndcg"] == found.ndcg
    teacher = load_scorer(found.teacher)
    assert np.isfinite(teacher.score(toy_collection.queries, toy_collection.corpus, np.arange(3), np.arange(3))).all()
    assert isinstance(teacher, FusedScorer) == found.teacher.endswith(".fusion.json")
    monkeypatch.setattr(module, "_tuned_cross_encoder", None)  # a second time it is not tuned again
    assert make_teacher(base, toy_collection, tmp_path / "teacher", **options) == found


def test_tuning_teaches_the_training_queries(judged, base, tmp_path):
    learned = replace(judged, qrels={"train": judged.qrels["train"], "dev": judged.qrels["train"]})
    quality = []
    for epochs in (0.01, 30):
        settings = replace(SETTINGS, epochs=epochs)
        found = make_teacher(base, learned, tmp_path / str(epochs), settings=settings, num_candidates=20)
        quality += found.ndcg.values()
    assert quality[1] > quality[0] + 0.2


def test_another_configuration_is_refused(toy_collection, base, tmp_path):
    make_teacher(base, toy_collection, tmp_path, settings=SETTINGS)
    with pytest.raises(InputError, match="learning_rate"):
        make_teacher(base, toy_collection, tmp_path, settings=replace(SETTINGS, learning_rate=1.0))


def test_the_commands(toy_collection, base, tmp_path, capsys):
    folder = beir_folder(toy_collection, tmp_path / "toy")
    options = ["--base", base, "--collection", folder, "--epochs", "1", "--device", "cpu", "--max_length", "16"]
    assert main(["assistants", *options, "--kinds", "pooled", "--output_dir", str(tmp_path / "assistants")]) == 0
    printed = capsys.readouterr().out
    assert f"--assistants {base} bm25 {tmp_path / 'assistants' / 'pooled'}" in printed
    fused = ["--fuse_with", str(tmp_path / "assistants" / "pooled"), "bm25"]
    assert main(["teacher", *options, *fused, "--output_dir", str(tmp_path / "teacher")]) == 0
    printed = capsys.readouterr().out
    assert "st-mta distill --teacher" in printed and "Weight in the fusion" in printed
    assert main(["assistants", *options, "--kinds", "x", "--output_dir", str(tmp_path / "other")]) == 2
    assert not (tmp_path / "other").exists()


def beir_folder(collection, folder):
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", collection.corpus), ("queries", collection.queries)):
        rows = [json.dumps({"_id": text_id, "title": "", "text": texts[text_id]}) for text_id in texts.ids]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    for split, qrels in collection.qrels.items():
        rows = [f"{q}\t{p}\t{grade}" for q, grades in qrels.items() for p, grade in grades.items()]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    return str(folder)


def test_an_empty_collection_of_training_queries_is_refused(base, tmp_path):
    bare = from_dictionaries("bare", {"p": "a", "r": "b"}, {"q": "a"}, {"dev": {"q": {"p": 1}}})
    with pytest.raises(InputError, match="training queries"):
        make_teacher(base, bare, tmp_path / "out", settings=SETTINGS)
    assert not (tmp_path / "out").exists()


def test_without_judgements_a_scorer_labels(toy_collection, base, tmp_path):
    """Its best passage is the relevant one, its distributions are learned, and its best ten judge the dev split."""
    tables = toy_collection.corpus, toy_collection.queries
    bare = from_dictionaries("bare", *({one: table[one] for one in table} for table in tables))
    bm25 = BM25()
    labelled = labelling.labelled_by(bm25, bare, [bm25], replace(SETTINGS, max_queries=12))
    assert len(labelled.qrels["train"]) == 12 and len(labelled.qrels["dev"]) == 4
    best = bm25.retrieve(bare.queries, bare.corpus, labelled.queries_of("train"), 1).passages[:, 0]
    assert [list(grades) for grades in labelled.qrels["train"].values()] == [[f"p{one}"] for one in best]
    assert all(max(grades.values()) == 2 and len(grades) <= 10 for grades in labelled.qrels["dev"].values())
    lists = mine(labelled, labelled.queries_of("train"), [bm25], labelled.qrels["train"], num_candidates=5)
    labels = labelling.soft_labels(bm25, labelled, lists)
    scores = bm25.score(bare.queries, bare.corpus, lists.pair_queries, lists.passages)
    np.testing.assert_allclose(labels / labels.max(), scores / scores.max(), rtol=1e-5)
    shares = [
        reference.entropy(reference.softmax(row.tolist(), [True] * len(row))) / np.log(len(row))
        for row in np.split(labels, lists.offsets[1:-1])
        if len(set(row.tolist())) > 1
    ]
    assert np.mean(shares) == pytest.approx(0.5, abs=1e-3)
    settings = replace(SETTINGS, max_queries=12)
    found = make_teacher(base, bare, tmp_path, settings=settings, store=tmp_path / "store", labels_from="bm25")
    assert list(found.ndcg) == [str(tmp_path / "cross-encoder")] and found.queries == 4
    with pytest.raises(InputError, match="labels_from"):
        make_teacher(base, bare, tmp_path, settings=settings, store=tmp_path / "store", labels_from=base)


def test_judgements_stay_beside_labels(toy_collection):
    """Of a collection with both, the judged queries keep theirs."""
    unlabelled = replace(toy_collection, unlabelled=toy_collection.queries_of("test"))
    labelled = labelling.labelled_by(BM25(), unlabelled, [BM25()], SETTINGS)
    train = labelled.qrels["train"]
    assert {query: train[query] for query in toy_collection.qrels["train"]} == toy_collection.qrels["train"]
    assert len(train) == 34 and labelled.qrels["dev"] == toy_collection.qrels["dev"]
    judged, drawn = toy_collection.queries_of("train"), np.array([0, 35])
    lists = mine(labelled, drawn, [BM25()], train, num_candidates=4)
    labels, one_hot = module._labels(labelled, lists, BM25(), judged), module._labels(labelled, lists, None, judged)
    assert sorted(one_hot[lists.rows == 0].tolist()) == [0, 0, 0, module.RELEVANT]
    np.testing.assert_array_equal(labels[lists.rows == 0], one_hot[lists.rows == 0])
    soft = labelling.soft_labels(BM25(), labelled, lists)
    np.testing.assert_array_equal(labels[lists.rows == 1], soft[lists.rows == 1])
