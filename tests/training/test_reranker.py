"""A cross-encoder as student: the same flow, measured by re-ranking, saved, resumed and loaded by the host alone."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder
from torch import nn

from st_mta import prune_layers
from st_mta.collections import with_windows
from st_mta.errors import InputError
from st_mta.evaluation import RerankingEvaluator, evaluate_scorer
from st_mta.mining import load_scored, mine
from st_mta.scorers import BM25, BiEncoderScorer, CrossEncoderScorer, load_any_student
from st_mta.stores import Store
from st_mta.training.reranker.collator import PairsCollator
from st_mta.training.reranker.ranks import ranks_in_lists
from st_mta.training.stages.warm_up import _reason_to_skip
from tests.tiny import saved, tiny_cross_encoder, tiny_language_model, tiny_sentence_transformer
from tests.training.toy_run import DieAfter, rewound, toy_trainer

CHANGES = {"learning_rate": 2e-3, "eval_depth": 10}


def reranking_trainer(folder, store_folder, collection, **changes):
    store = Store(store_folder)
    return toy_trainer(
        folder,
        store_folder,
        collection,
        student=tiny_cross_encoder(1),
        teacher=BiEncoderScorer(tiny_sentence_transformer(2), name="T", store=store, precision="fp32"),
        assistants=[BM25(store=store)],
        store=store,
        **{**CHANGES, **changes},
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory, toy_collection):
    folder = tmp_path_factory.mktemp("reranker")
    trainer = reranking_trainer(folder / "out", folder / "store", toy_collection)
    return folder, trainer, trainer.train()


def test_the_student_is_measured_by_reranking(finished, toy_collection):
    folder, _, report = finished
    assert report["student"]["kind"] == report["student_before"]["kind"] == "cross-encoder"
    searcher = report["student"]["reranks"].removeprefix("top 10 of ")
    assert searcher in ("T", "bm25") and report["teacher"]["reranks"] is None
    student = CrossEncoderScorer(str(folder / "out/student"), precision="fp32", device="cpu")
    first = BM25() if searcher == "bm25" else BiEncoderScorer(tiny_sentence_transformer(2), precision="fp32")
    measured = evaluate_scorer(student, toy_collection, report["split"], depth=10, first_stage=first)[1]
    assert measured["ndcg@10"] == pytest.approx(report["student"]["ndcg@10"])
    assert report["student"]["queries_per_second"] > 0 and report["serving"] == []


def test_it_has_learned_its_teachers_order(finished):
    _, trainer, report = finished
    run = trainer.distillation
    lists = load_scored(run.folder.iteration(0)).candidates
    pairs = lists.pair_queries, lists.passages

    def agreement(folder):
        """Mean correlation of a student's logits with the teacher's scores, list by list."""
        student = run.students.scorer(folder, "student")
        rows = [
            one.score(run.collection.queries, run.collection.corpus, *pairs) for one in (run.pool.teacher, student)
        ]
        parts = [np.split(row, lists.offsets[1:-1]) for row in rows]
        return np.mean([np.corrcoef(ours, theirs)[0, 1] for ours, theirs in zip(*parts)])

    assert agreement(run.folder.iteration(1) / "student") > agreement(run.folder.student_before) + 0.05
    assert "no embeddings" in report["warm_up_skipped"] and report["warm_up"] is None
    assert report["loss"] is None or report["loss"]["class"].endswith("ListwiseRerankerLoss")


def test_the_host_loads_it_and_the_trainer_has_it(finished):
    folder, trainer, _ = finished
    pairs = [("the cat", "a cat eats"), ("the cat", "a red car")]
    loaded = CrossEncoder(str(folder / "out/student"), device="cpu")
    assert np.allclose(loaded.predict(pairs), trainer.model.predict(pairs), atol=1e-6)
    metrics = trainer.evaluate()
    assert metrics["eval_toy_dev_ndcg@10"] > 0


def test_the_pages_and_the_card_are_those_of_a_reranker(finished):
    folder, _, _ = finished
    assert 'CrossEncoder("' in (folder / "out/report.md").read_text(encoding="utf-8")
    card = ModelCard.load(folder / "out/student/README.md")
    assert "cross-encoder" in card.data.tags and card.data.pipeline_tag == "text-ranking"
    for told in ("small re-ranker", "Distillation Lineage", "Cross Encoder", "Re-ranking, test queries"):
        assert told in card.text, told


def test_a_run_killed_in_a_training_resumes_bit_for_bit(finished, toy_collection, tmp_path):
    folder, _, _ = finished
    out = rewound(folder / "out", tmp_path / "out", "iteration-01/mine")
    shutil.rmtree(out / "iteration-01")
    run = reranking_trainer(out, folder / "store", toy_collection).distillation
    run.callbacks = [DieAfter(2)]
    with pytest.raises(RuntimeError, match="killed"):
        run.learn()
    assert list((out / "iteration-01").rglob("checkpoint-2"))
    reranking_trainer(out, folder / "store", toy_collection).distillation.learn()
    ours, theirs = (load_file(root / "iteration-01/student/model.safetensors") for root in (out, folder / "out"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_candidates_come_from_those_that_search_also_after_a_promotion(finished):
    folder, trainer, report = finished
    run = trainer.distillation
    student = run.students.scorer(run.folder.student, "student")
    assert [scorer.name for scorer in run.retrievers(student)] == ["bm25"]
    state = json.loads((folder / "out/state.json").read_text())
    assert state["stations"]["iteration-01/mine"]["result"]["pairs"] > 0


# --- the parts ---------------------------------------------------------------------------------------------------


def test_the_collator_makes_one_pair_of_each_candidate(toy_collection):
    student, corpus = tiny_cross_encoder(1), toy_collection.corpus
    queries = ["the cat", "why is it that the small dog sleeps"]
    rows = [
        {"query": query, "query_position": place, "passages": passages}
        for place, (query, passages) in enumerate(zip(queries, ([3, 0, 7, 11, 20, 31], [0, 5, 41])))
    ]
    for row in rows:
        row["positive"] = [place == 0 for place in range(len(row["passages"]))]
        row |= {"grades": [int(yes) for yes in row["positive"]], "scores": [[float(p)] for p in row["passages"]]}
    batch = PairsCollator(student.preprocess, corpus=corpus, documents_per_forward=2)(rows)
    columns = [name for name in batch if name.endswith("_input_ids")]
    assert columns == [f"pairs_{number}_input_ids" for number in range(5)]
    read = [text for name in columns for text in student.tokenizer.batch_decode(batch[name], skip_special_tokens=True)]
    index = batch["label"]["index"]
    for row, places in zip(rows, index.tolist()):
        for passage, place in zip(row["passages"], places):
            assert read[place] == f"{row['query']} {corpus.take([passage])[0]}"
    assert (index[1, 3:] == -1).all() and batch["label"]["scores"][1, 0, :3].tolist() == [0.0, 5.0, 41.0]
    order = torch.argsort(index[index >= 0])
    assert not torch.equal(order, index[index >= 0])  # no mere exchange of neighbours: its inverse is another


def test_a_prompt_stands_before_the_query(toy_collection):
    student = tiny_cross_encoder(1)
    row = {"query": "cat", "query_position": 0, "passages": [0, 1], "positive": [True, False], "grades": [1, 0]}
    row["scores"] = [[1.0], [0.0]]
    batch = PairsCollator(student.preprocess, corpus=toy_collection.corpus, prompt="which ")([row])
    assert all(
        text.startswith("which cat ")
        for text in student.tokenizer.batch_decode(batch["pairs_0_input_ids"], skip_special_tokens=True)
    )


def test_ranks_are_those_of_the_student_among_what_is_found(toy_collection):
    student, queries = CrossEncoderScorer(tiny_cross_encoder(1), precision="fp32"), toy_collection.queries_of("train")
    ranks = ranks_in_lists(student, toy_collection, queries, [BM25()], toy_collection.qrels["train"], 6)
    lists = mine(toy_collection, queries, [BM25()], toy_collection.qrels["train"], num_candidates=6)
    for row, rank in enumerate(ranks):
        passages = lists.passages[lists.offsets[row] : lists.offsets[row + 1]]
        where = np.full(len(passages), queries[row])
        scores = student.score(toy_collection.queries, toy_collection.corpus, where, passages)
        assert rank == 1 + (scores[1:] >= scores[0]).sum()  # the positive is the first
    assert len(set(ranks.tolist())) > 2


@pytest.mark.parametrize("words", [None, 4])
def test_the_evaluator_reranks_a_first_stage(toy_collection, words):
    collection = toy_collection if words is None else with_windows(toy_collection, words)
    model = tiny_cross_encoder(1)
    evaluator = RerankingEvaluator(collection, "test", first_stage=BM25(), depth=10)
    scorer = CrossEncoderScorer(model, precision="fp32")
    expected = evaluate_scorer(scorer, collection, "test", depth=10, first_stage=BM25())
    assert evaluator(model)["toy_test_ndcg@10"] == pytest.approx(expected[1]["ndcg@10"])
    assert evaluator.over(collection).first_stage is evaluator.first_stage


def test_layers_of_a_cross_encoder_can_be_cut(tmp_path):
    model = prune_layers(tiny_cross_encoder(1, layers=3), [0, 2])
    loaded = CrossEncoder(saved(model, tmp_path), device="cpu")
    pair = [("the cat", "eats fish")]
    assert model.transformers_model.config.num_hidden_layers == 2
    assert np.allclose(
        model.predict(pair, activation_fn=nn.Identity()), loaded.predict(pair, activation_fn=nn.Identity())
    )


def test_an_encoder_gets_the_same_new_head_each_time(tmp_path):
    folder = saved(tiny_sentence_transformer(1), tmp_path / "encoder")
    one, other = (load_any_student(f"cross-encoder:{folder}", device="cpu") for _ in range(2))
    pair = [("the cat", "eats fish")]
    assert isinstance(one, CrossEncoder) and one.num_labels == 1
    assert np.array_equal(one.predict(pair), other.predict(pair))
    kept = load_any_student(saved(tiny_cross_encoder(3), tmp_path / "whole"), device="cpu")
    assert np.allclose(kept.predict(pair), tiny_cross_encoder(3).predict(pair))


def test_what_cannot_be_trained_on_lists_is_refused(tmp_path, toy_collection):
    with pytest.raises(InputError, match="one score.*3 outputs"):
        load_any_student(tiny_cross_encoder(1, num_labels=3))
    with pytest.raises(InputError, match="bare language model"):
        load_any_student(f"cross-encoder:{tiny_language_model(tmp_path / 'lm')}")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"regression_weight": 1.0}, "no regression_weight"),
        ({"loss": "mnrl"}, "a loss over a cross-encoder's logits"),
        ({"prompts": {"documents": "x"}}, "one for 'documents'"),
        ({"filter_false_negatives": "similarity"}, None),
    ],
)
def test_what_needs_embeddings_is_refused(changes, what, tmp_path, toy_collection):
    if what is None:  # the teacher is a bi-encoder here
        reranking_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **changes)
        return
    with pytest.raises(InputError, match=what):
        reranking_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **changes)


def test_somebody_has_to_search(tmp_path, toy_collection):
    with pytest.raises(InputError, match="a scorer that searches.*bm25"):
        toy_trainer(
            tmp_path / "out", tmp_path / "store", toy_collection,
            student=tiny_cross_encoder(1), teacher=CrossEncoderScorer(tiny_cross_encoder(2), name="T"), assistants=[],
        )  # fmt: skip


def test_the_teacher_itself_is_no_student(tmp_path, toy_collection):
    teacher = CrossEncoderScorer(tiny_cross_encoder(1), name="T", precision="fp32")
    with pytest.raises(InputError, match="not its own teacher"):
        toy_trainer(
            tmp_path / "out", tmp_path / "store", toy_collection, student=tiny_cross_encoder(1), teacher=teacher
        )


def test_a_reranker_without_a_warm_up_is_told_that_it_can_have_none():
    run = SimpleNamespace(reranks=True, arguments=SimpleNamespace(regression_epochs=0))
    assert "no embeddings" in _reason_to_skip(run, [])
