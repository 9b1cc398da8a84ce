from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from st_mta import prune_layers
from st_mta.cli.main import main
from st_mta.collections import from_dictionaries, load_collection
from st_mta.errors import InputError
from st_mta.evaluation import evaluate_run
from st_mta.evaluation.side_by_side import comparison_rows
from st_mta.recipes.evaluate import IncompleteEvaluation, evaluate_models
from st_mta.scorers import BiEncoderScorer
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.regression import regress_embeddings, warm_up_arguments
from st_mta.training.students import DOCUMENTS
from st_mta.trec import read_run, write_run
from st_mta.types import Collection
from tests.tiny import WORDS, saved, tiny_cross_encoder, tiny_sentence_transformer


@pytest.fixture
def benchmarks(tmp_path, toy_collection):
    """The toy collection as local copies of three benchmarks, judgements in the split that each is measured on."""
    for name, split in (("msmarco", "dev"), ("trec-dl-2019", "test"), ("nq", "test")):
        (tmp_path / "data" / name / "qrels").mkdir(parents=True)
        for kind, texts in (("corpus", toy_collection.corpus), ("queries", toy_collection.queries)):
            rows = ({"_id": i, "text": t} for i, t in zip(texts.ids, texts.take(range(len(texts)))))
            (tmp_path / "data" / name / f"{kind}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        rows = [f"{q}\t{p}\t{1 + number % 2}" for number, (q, p) in enumerate(judged(toy_collection, split))]
        rows.insert(0, "query-id\tcorpus-id\tscore")
        (tmp_path / "data" / name / "qrels" / f"{split}.tsv").write_text("\n".join(rows))
    return tmp_path / "data"


def judged(collection, split):
    return [(query_id, passage_id) for query_id, grades in collection.qrels[split].items() for passage_id in grades]


def test_benchmarks_are_measured_by_their_own_protocol(benchmarks, toy_collection, tmp_path):
    out = tmp_path / "out"
    results, tests = evaluate_models(
        ["bm25", tiny_sentence_transformer()],
        [toy_collection],
        benchmarks=["msmarco", "trec-dl-2019"],
        split="dev",
        data=benchmarks,
        output_dir=out,
    )
    assert list(results["bm25"]) == ["toy", "msmarco", "trec-dl-2019"]
    assert json.loads((out / "results.json").read_text()) == results
    run = read_run(out / "runs" / "trec-dl-2019" / "bm25.trec")
    qrels = load_collection("trec-dl-2019", data=benchmarks).qrels["test"]
    measured = pytest.approx(evaluate_run(run, qrels, relevance_level=2))
    assert results["bm25"]["trec-dl-2019"] == measured != evaluate_run(run, qrels)
    assert set(read_run(out / "runs" / "toy" / "bm25.trec")) == set(toy_collection.qrels["dev"])
    assert [test["measure"] for test in tests] == ["ndcg@10", "mrr@10", "ndcg@10"]
    assert [test["collection"] for test in tests] == ["toy", "msmarco", "trec-dl-2019"]
    means = json.loads((out / "means.json").read_text())
    assert means["bm25"]["map"] == pytest.approx(sum(v["map"] for v in results["bm25"].values()) / 3)


def test_p_values_are_corrected_within_a_collection(benchmarks, toy_collection, tmp_path):
    models = ["bm25", tiny_sentence_transformer(1), saved(tiny_sentence_transformer(2), tmp_path / "second")]
    models[1] = saved(models[1], tmp_path / "first")
    _, tests = evaluate_models(models, [toy_collection], benchmarks=["nq"], data=benchmarks, output_dir=tmp_path)
    for name in ("toy", "nq"):
        low, high = sorted((test["p_value"], test["p_holm"]) for test in tests if test["collection"] == name)
        assert low[1] == pytest.approx(min(1.0, 2 * low[0]))
        assert high[1] == pytest.approx(max(low[1], high[0]))


def test_two_equal_models_do_not_differ(toy_collection, tmp_path):
    models = [saved(tiny_sentence_transformer(), tmp_path / name) for name in ("one", "other")]
    results, (test,) = evaluate_models(models, [toy_collection], output_dir=tmp_path / "out")
    assert results[models[0]] == results[models[1]]
    assert (test["p_value"], test["p_holm"], test["difference"]) == (1.0, 1.0, 0.0)
    assert (test["wins"], test["losses"], test["ties"]) == (0, 0, 10)


def test_a_distilled_student_is_significantly_better_than_the_pruned_one_it_was(tmp_path):
    """Relevant is what the whole model ranks first; the student regresses to it on other texts than the test's."""
    whole = BiEncoderScorer(tiny_sentence_transformer(layers=4), name="whole", precision="fp32")
    collection = judged_by(whole, word_salad(400, 800))
    student = prune_layers(tiny_sentence_transformer(layers=4), keep=[0, 3])
    pruned = saved(student, tmp_path / "pruned")
    distil(student, whole, word_salad(1200, 1, seed=1).corpus, tmp_path / "steps")
    models = [pruned, saved(student, tmp_path / "distilled")]
    _, (test,) = evaluate_models(models, [collection], output_dir=tmp_path, precision="fp32")
    assert test["difference"] > 0.02 and test["p_holm"] < 0.01
    assert test["interval"][0] > 0


def test_how_to_search_reaches_the_bi_encoders(toy_collection, tmp_path):
    scorer = BiEncoderScorer(tiny_sentence_transformer(), name="A")
    evaluate_models([scorer, "bm25"], [toy_collection], output_dir=tmp_path, backend="faiss", block_size=7)
    assert (scorer.backend, scorer.block_size) == ("faiss", 7)


def word_salad(passages, queries, seed=0):
    random = np.random.default_rng(seed)
    corpus, asked = (random.choice(WORDS, (rows, 8)) for rows in (passages, queries))
    texts = [
        {f"{name}{i}": " ".join(words) for i, words in enumerate(rows)} for name, rows in zip("pq", (corpus, asked))
    ]
    return from_dictionaries("salad", *texts)


def judged_by(scorer, collection):
    every = np.arange(len(collection.queries))
    best = scorer.retrieve(collection.queries, collection.corpus, every, 1).passages[:, 0]
    qrels = {query: {passage: 1} for query, passage in zip(collection.queries.ids, collection.corpus.take_ids(best))}
    return Collection("salad", collection.corpus, collection.queries, {"test": qrels})


def distil(student, teacher, passages, folder):
    arguments = MultiAssistantTrainingArguments(
        str(folder), regression_epochs=6.0, use_cpu=True, disable_tqdm=True, save_strategy="no"
    )
    every = np.arange(len(passages))
    targets = {DOCUMENTS: teacher.embed(passages, "document", every)}
    arguments = replace(arguments, **warm_up_arguments(arguments))
    regress_embeddings(student, {DOCUMENTS: passages}, {DOCUMENTS: every}, targets, arguments)


def test_a_re_ranker_gets_room_for_the_passage_with_the_querys_id(toy_collection, tmp_path):
    """Without it, it would have one passage less than the models that search."""
    numbered = Collection(
        "numbered",
        toy_collection.corpus,
        type(toy_collection.queries)([f"p{i}" for i in range(40)], toy_collection.queries.column),
        {"test": {f"p{i}": {f"p{i + 1}": 1} for i in range(30, 40)}},
    )
    cross_encoder = saved(tiny_cross_encoder(), tmp_path / "cross")
    evaluate_models(["bm25", cross_encoder], [numbered], output_dir=tmp_path / "out", depth=5)
    runs = tmp_path / "out" / "runs" / "numbered"
    searched, run = read_run(runs / "bm25.trec"), read_run(next(runs.glob("*cross.trec")))
    assert {len(passages) for passages in run.values()} == {5}
    assert all(query_id not in passages for query_id, passages in [*run.items(), *searched.items()])


def test_a_collection_that_cannot_be_read_does_not_end_the_others(benchmarks, toy_collection, tmp_path, caplog):
    (benchmarks / "nq" / "corpus.jsonl").write_text("spoilt")
    arguments = {"benchmarks": ["nq", "msmarco"], "data": benchmarks, "split": "dev", "output_dir": tmp_path / "out"}
    with pytest.raises(IncompleteEvaluation, match=r"1 failures: nq: .*corpus\.jsonl:1") as caught:
        evaluate_models(["bm25"], [toy_collection], **arguments)
    assert list(caught.value.measured.results["bm25"]) == ["toy", "msmarco"]
    written = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json")}
    assert list(written["failed"]) == ["nq"] and list(written["results"]["bm25"]) == ["toy", "msmarco"]
    assert "nq is left out" in caplog.text
    (benchmarks / "msmarco" / "corpus.jsonl").replace(benchmarks / "nq" / "corpus.jsonl")
    (benchmarks / "msmarco" / "corpus.jsonl").write_bytes((benchmarks / "nq" / "corpus.jsonl").read_bytes())
    assert len(evaluate_models(["bm25"], [toy_collection], **arguments)[0]["bm25"]) == 3
    assert not (tmp_path / "out" / "failed.json").exists()


def test_two_collections_of_one_name(toy_collection, tmp_path):
    with pytest.raises(InputError, match="'toy' twice"):
        evaluate_models(["bm25"], [toy_collection, toy_collection], output_dir=tmp_path / "out")
    assert list(json.loads((tmp_path / "out" / "results.json").read_text())["bm25"]) == ["toy"]


def write_run_of(collection, split, path):
    write_run(path, {query: dict.fromkeys(judged, 1.0) for query, judged in collection.qrels[split].items()}, tag="t")
    return str(path)


def test_a_run_file_is_measured_where_it_belongs_and_elsewhere_not_as_zero(benchmarks, toy_collection, tmp_path):
    other = from_dictionaries("other", {"x": "cat"}, {"y": "cat"}, {"test": {"y": {"x": 1}}})
    run = write_run_of(toy_collection, "test", tmp_path / "perfect.trec")
    dev_run = write_run_of(toy_collection, "dev", tmp_path / "dev.trec")
    cross_encoder = saved(tiny_cross_encoder(), tmp_path / "cross")
    with pytest.raises(IncompleteEvaluation) as caught:
        evaluate_models(["bm25", run, dev_run, cross_encoder], [other, toy_collection], output_dir=tmp_path / "out")
    measured = caught.value.measured
    assert {name: list(by_set) for name, by_set in measured.results.items()} == {
        "bm25": ["other", "toy"], run: ["toy"], dev_run: [], cross_encoder: ["other", "toy"],
    }  # fmt: skip
    assert measured.results[run]["toy"]["ndcg@10"] == 1.0
    assert list(measured.failed) == [f"{run} on other", f"{dev_run} on other", f"{dev_run} on toy"]
    assert "none for any of 10 queries" in measured.failed[f"{dev_run} on toy"]
    assert list(json.loads((tmp_path / "out" / "means.json").read_text())) == ["bm25", cross_encoder]
    rows = {(row["Collection"], row["Model"]): row["ndcg@10"] for row in comparison_rows(measured.results)}
    assert rows["other", run] == rows["mean of 2", run] == rows["toy", dev_run] == "n/a" != rows["toy", run]
    assert [test["model"] for test in measured.tests] == [cross_encoder, run, cross_encoder]


def test_nothing_but_one_failure_is_that_failure(toy_collection, tmp_path):
    run = write_run_of(toy_collection, "dev", tmp_path / "dev.trec")
    with pytest.raises(InputError, match="^Expected scores of judged queries of toy, split test"):
        evaluate_models([run], [toy_collection], output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_shows_what_was_measured_and_fails(benchmarks, tmp_path, capsys):
    (benchmarks / "nq" / "corpus.jsonl").write_text("spoilt")
    arguments = f"evaluate --model bm25 --benchmark nq msmarco --data {benchmarks} --output-dir {tmp_path / 'out'}"
    assert main(arguments.split()) == 2
    shown = capsys.readouterr()
    assert "Measures on the" in shown.out and "1.0000" in shown.out
    assert "corpus.jsonl:1" in shown.err and "Traceback" not in shown.err


@pytest.mark.parametrize(
    "models, collections, named",
    [
        ([], ["pydocs"], "one model"),
        (["bm25"], [], "collection or benchmark"),
        (["bm25", "bm25"], ["toy"], "'bm25' twice"),
        (["bm25"], ["toy", "no-such-set"], "no-such-set"),
    ],
)
def test_refuses(models, collections, named, toy_collection, tmp_path):
    sources = [toy_collection if name == "toy" else name for name in collections]
    with pytest.raises(InputError, match=named):
        evaluate_models(models, sources, output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../../escaped", "..", "/escaped", "a/../../../b", ".", "", "BeIR/toy"])
def test_no_collections_name_leads_out_of_the_folder(toy_collection, tmp_path, name):
    out = tmp_path / "a" / "b" / "out"
    evaluate_models(["bm25"], [replace(toy_collection, name=name)], output_dir=out)
    written = [path.relative_to(out).as_posix() for path in tmp_path.rglob("*.trec")]
    assert len(written) == 1 and written[0].startswith("runs/") and written[0].endswith("/bm25.trec")
    assert (name == "BeIR/toy") == (written == ["runs/BeIR/toy/bm25.trec"])


def test_re_rankers_alone_are_told_once_to_take_a_searcher(toy_collection, tmp_path, caplog):
    models = [saved(tiny_cross_encoder(seed), tmp_path / f"c{seed}") for seed in (1, 2)]
    for given in (models[:1], models):
        with pytest.raises(InputError, match=r"such as bm25, among the models too \(--model\)") as caught:
            evaluate_models(given, [toy_collection], output_dir=tmp_path / "out")
        assert "first_stage" not in str(caught.value)
    assert "c1 on toy is left out" in caplog.text and "such as bm25" not in caplog.text
