"""The packages beir and mteb as the reference, on a collection with everything in which evaluations differ."""

from __future__ import annotations

import json
import random

import pytest

from st_mta.collections import load_collection
from st_mta.evaluation import CollectionEvaluator, evaluate_run
from st_mta.types import Collection
from tests.tiny import WORDS, tiny_sentence_transformer

others = pytest.importorskip("benchmarks.beir_exact.others", reason="needs the package beir: pip install beir")

WITHOUT_POSITIVE = "8"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """120 passages, half of them with titles; queries numbered like passages, one of which is judged for its namesake.

    Query 8 has no relevant passage, query 9 no judgements. As in ArguAna, a relevant passage of query 1 and a passage
    of query 2 that is not relevant are missing from the corpus, and so is the only relevant one of query 7.
    """
    source = random.Random(0)
    texts = [" ".join(source.choices(WORDS, k=9)) for _ in range(120)]
    folder = tmp_path_factory.mktemp("beir") / "numbered"
    (folder / "qrels").mkdir(parents=True)
    passages = [
        {"_id": str(i), "title": texts[-i].title() if i % 2 else "", "text": f" {text} "}
        for i, text in enumerate(texts)
    ]
    queries = [{"_id": str(i), "text": " ".join(texts[i].split()[:5])} for i in range(10)]
    qrels = [(q, p, 1 + (q + p) % 3) for q in range(8) for p in (q, q + 10, q + 20)]
    qrels = [row for row in qrels if row[0] != 7]
    qrels += [(q, p, 0) for q in (3, 8) for p in (40, 41)] + [(1, 1000, 2), (2, 1001, 0), (7, 1002, 1)]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, passages)))
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    rows = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in qrels)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def model():
    return tiny_sentence_transformer(normalize=False)


@pytest.fixture(scope="module")
def theirs(folder):
    return others.load_as_beir(str(folder), "test")


def test_a_model_measures_as_in_beir(folder, model, theirs):
    corpus, queries, qrels = theirs
    evaluate = CollectionEvaluator(load_collection(folder), "test", name="")
    run = others.beir_run(model, corpus, queries)
    ours, beir = evaluate(model), others.beir_measures(qrels, run)
    assert {measure: ours[measure] for measure in beir} == pytest.approx(beir, abs=1e-6)
    assert set(evaluate.search(model)) == set(run) == {str(number) for number in range(9)}
    for query_id, passages in evaluate.search(model).items():
        assert query_id not in passages and len(passages) == 100
        assert passages == pytest.approx(run[query_id], abs=1e-5)


def test_a_run_measures_as_in_beir_and_pytrec_eval(folder, model, theirs):
    _, _, qrels = theirs
    run = CollectionEvaluator(load_collection(folder), "test").search(model)
    ours = evaluate_run(run, load_collection(folder).qrels["test"])
    assert ours == pytest.approx(others.pytrec_measures(qrels, run), abs=1e-6)
    with_own = {query_id: {**passages, query_id: 2.0} for query_id, passages in run.items()}
    beir = others.beir_measures(qrels, with_own)
    assert {measure: ours[measure] for measure in beir} == pytest.approx(beir, abs=1e-6)
    assert all(0.01 < value < 0.99 for value in ours.values())


def test_each_peculiarity_changes_the_figures(folder, model):
    """Otherwise the agreement above would not show that they are treated alike."""
    collection = load_collection(folder)
    measured = CollectionEvaluator(collection, "test", name="")(model)
    qrels = collection.qrels["test"]

    def with_qrels(changed):
        return CollectionEvaluator(
            Collection("changed", collection.corpus, collection.queries, {"test": changed}), "test", name=""
        )(model)

    binary = with_qrels({q: {p: int(grade > 0) for p, grade in grades.items()} for q, grades in qrels.items()})
    answerable = with_qrels({q: grades for q, grades in qrels.items() if q != WITHOUT_POSITIVE})
    findable = with_qrels(
        {q: {p: grade for p, grade in g.items() if int(p) < 120} or {"0": 0} for q, g in qrels.items()}
    )
    assert findable["map"] > measured["map"]
    without_own = with_qrels({q: {p: grade for p, grade in g.items() if p != q} for q, g in qrels.items()})
    assert binary["ndcg@10"] != pytest.approx(measured["ndcg@10"], abs=1e-3)
    assert answerable["map"] == pytest.approx(measured["map"] * 9 / 8)
    assert without_own["recall@100"] > measured["recall@100"]


def test_a_model_measures_as_in_mteb(folder, model, theirs):
    by_mteb = pytest.importorskip("benchmarks.beir_exact.by_mteb", reason="needs the package mteb: pip install mteb")
    corpus, queries, qrels = theirs
    ours = CollectionEvaluator(load_collection(folder), "test", name="")(model)
    assert ours == pytest.approx(by_mteb.mteb_measures(model, corpus, queries, qrels), abs=1e-4)
