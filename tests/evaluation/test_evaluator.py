from __future__ import annotations

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments
from torch import nn

from st_mta.errors import InputError
from st_mta.evaluation import CollectionEvaluator, evaluate_run, evaluator
from st_mta.trec import read_run
from st_mta.types import Collection, Texts
from tests.tiny import tiny_sentence_transformer


@pytest.fixture(scope="module")
def model():
    return tiny_sentence_transformer(prompts={"query": "what: ", "document": "the "})


def ranking(model, collection, query_id, similarity="cosine"):
    """Passage ids and scores, best first, from unblocked float64 products."""
    query = model.encode_query([collection.queries[query_id]])[0].astype(np.float64)
    passages = model.encode_document(collection.corpus.take(range(len(collection.corpus)))).astype(np.float64)
    scores = passages @ query
    if similarity == "cosine":
        scores /= np.linalg.norm(passages, axis=1) * np.linalg.norm(query)
    order = np.argsort(-scores, kind="stable")
    return [collection.corpus.ids[position] for position in order], scores[order]


def test_searches_exactly_with_the_prompts_of_queries_and_documents(model, collection):
    run = CollectionEvaluator(collection, "dev", depth=7).search(model)
    assert list(run) == list(collection.qrels["dev"])
    for query_id, passages in run.items():
        ids, scores = ranking(model, collection, query_id)
        assert list(passages) == ids[:7]
        assert list(passages.values()) == pytest.approx(scores[:7], abs=1e-5)


def test_uses_the_similarity_of_the_model(collection):
    model = tiny_sentence_transformer(normalize=False, similarity="dot")
    run = CollectionEvaluator(collection, "dev", depth=12).search(model)
    assert list(run["q3"]) == ranking(model, collection, "q3", "dot")[0]
    assert list(run["q3"]) != ranking(model, collection, "q3", "cosine")[0]


def test_blocks_do_not_matter(model, collection, monkeypatch):
    expected = CollectionEvaluator(collection, "dev", depth=6).search(model)
    monkeypatch.setattr(evaluator, "PASSAGES_PER_BLOCK", 5)
    monkeypatch.setattr(evaluator, "SCORES_PER_BLOCK", 1)
    run = CollectionEvaluator(collection, "dev", depth=6).search(model)
    assert {query_id: list(passages) for query_id, passages in run.items()} == {
        query_id: list(passages) for query_id, passages in expected.items()
    }
    for query_id in run:
        assert run[query_id] == pytest.approx(expected[query_id], abs=1e-6)


class WordModel:
    """Embeds a text as the number of its letters "a" and "b": whole numbers, so that ties are exact."""

    def encode_query(self, texts, **options):
        return torch.tensor([[float(text.count("a")), float(text.count("b"))] for text in texts])

    encode_document = encode_query

    def similarity(self, queries, passages):
        return queries @ passages.T


def test_ties_go_to_the_lower_position(monkeypatch):
    monkeypatch.setattr(evaluator, "PASSAGES_PER_BLOCK", 4)
    corpus = Texts([f"p{number}" for number in range(9)], ["a", "b", "aa"] * 3)
    collection = Collection("twins", corpus, Texts(["q"], ["a"]), {"dev": {"q": {"p0": 1}}})
    run = CollectionEvaluator(collection, "dev", depth=9).search(WordModel())
    assert list(run["q"]) == ["p2", "p5", "p8", "p0", "p3", "p6", "p1", "p4", "p7"]


def test_similarities_are_compared_in_single_precision(collection):
    class HalfModel(WordModel):
        def encode_query(self, texts, **options):
            return super().encode_query(texts).bfloat16()

        encode_document = encode_query

        def similarity(self, queries, passages):
            assert queries.dtype == passages.dtype == torch.float32
            return super().similarity(queries, passages)

    CollectionEvaluator(collection, "dev").search(HalfModel())


def test_values_are_named_measured_and_kept_for_the_model_card(model, collection):
    evaluate = CollectionEvaluator(collection, "dev", measures=["mrr@10", "ndcg@10"])
    values = evaluate(model)
    measured = evaluate_run(evaluate.search(model), collection.qrels["dev"], ["mrr@10", "ndcg@10"])
    assert values == {"toy_dev_mrr@10": measured["mrr@10"], "toy_dev_ndcg@10": measured["ndcg@10"]}
    assert evaluate.primary_metric == "toy_dev_mrr@10"
    assert model.model_card_data.eval_results_dict[evaluate] == values
    assert model.model_card_data.training_logs[-1]["toy_dev_mrr@10"] == measured["mrr@10"]


@pytest.mark.parametrize("name, expected", [("", "ndcg@10"), ("mine", "mine_ndcg@10")])
def test_a_name_of_ones_own(model, collection, name, expected):
    evaluate = CollectionEvaluator(collection, "test", name=name)
    assert expected in evaluate(model)
    assert evaluate.primary_metric == expected


def test_differs_from_the_host_in_the_grades_only(model, collection):
    """With binary judgements both agree; with grades only ours tells a 2 from a 1."""
    dev = collection.qrels["dev"]
    host = InformationRetrievalEvaluator(
        queries={query_id: collection.queries[query_id] for query_id in dev},
        corpus={passage_id: collection.corpus[passage_id] for passage_id in collection.corpus},
        relevant_docs={q: {p for p, grade in grades.items() if grade} for q, grades in dev.items()},
        write_csv=False,
    )(model)
    binary = {q: {p: int(grade > 0) for p, grade in grades.items()} for q, grades in dev.items()}
    same = Collection("toy", collection.corpus, collection.queries, {"dev": binary})
    ours = CollectionEvaluator(same, "dev", name="")(model)
    assert ours["ndcg@10"] == pytest.approx(host["cosine_ndcg@10"], abs=1e-6)
    assert ours["mrr@10"] == pytest.approx(host["cosine_mrr@10"], abs=1e-6)
    assert CollectionEvaluator(collection, "dev", name="")(model)["ndcg@10"] != pytest.approx(ours["ndcg@10"])


def test_writes_the_run_where_asked(model, collection, tmp_path):
    evaluate = CollectionEvaluator(collection, "dev", write_predictions=True)
    evaluate(model, output_path=str(tmp_path / "eval"), epoch=0.5, steps=30)
    evaluate(model, output_path=str(tmp_path / "eval"))
    files = sorted(path.name for path in (tmp_path / "eval").iterdir())
    assert files == ["toy_dev.trec", "toy_dev_epoch0.5_step30.trec"]
    assert read_run(tmp_path / "eval" / files[0]) == evaluate.search(model)


def test_works_in_the_hosts_trainer(collection, tmp_path):
    arguments = SentenceTransformerTrainingArguments(
        str(tmp_path), report_to="none", use_cpu=True, metric_for_best_model="toy_dev_ndcg@10"
    )
    evaluate = CollectionEvaluator(collection, "dev")
    trainer = SentenceTransformerTrainer(
        tiny_sentence_transformer(), args=arguments, loss=nn.Identity(), evaluator=evaluate
    )
    assert trainer.evaluate()["eval_toy_dev_ndcg@10"] == evaluate(trainer.model)["toy_dev_ndcg@10"]


def test_a_split_without_judgements(collection):
    with pytest.raises(InputError, match="'train'"):
        CollectionEvaluator(collection, "train")
