from __future__ import annotations

import json
import shutil

import pytest
from sentence_transformers import SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments
from torch import nn

from st_mta.collections.benchmarks import BENCHMARKS
from st_mta.errors import InputError
from st_mta.evaluation import MEASURES, BenchmarkEvaluator, CollectionEvaluator
from tests.tiny import tiny_sentence_transformer


@pytest.fixture
def data(tmp_path, collection):
    """Copies of the collection under the names of benchmarks, with the split that each is measured on."""

    def copy(*names):
        for name in names:
            folder = tmp_path / "data" / name
            (folder / "qrels").mkdir(parents=True)
            for kind, texts in (("corpus", collection.corpus), ("queries", collection.queries)):
                rows = ({"_id": i, "text": t} for i, t in zip(texts.ids, texts.take(range(len(texts)))))
                (folder / f"{kind}.jsonl").write_text("\n".join(map(json.dumps, rows)))
            rows = [(q, p, grade) for q, grades in collection.qrels["dev"].items() for p, grade in grades.items()]
            split = BENCHMARKS[name].split if name in BENCHMARKS else "test"
            text = "\n".join("\t".join(map(str, row)) for row in rows)
            (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{text}\n")
        return tmp_path / "data"

    return copy


@pytest.fixture(scope="module")
def model():
    return tiny_sentence_transformer()


def test_every_benchmark_is_published_in_a_measure_there_is():
    assert {known.measure for known in BENCHMARKS.values()} <= set(MEASURES)


def test_each_on_its_own_split_and_relevance_level_and_their_mean(model, data, collection):
    evaluate = BenchmarkEvaluator(["msmarco", "trec-dl-2019"], data=data("msmarco", "trec-dl-2019"))
    values = evaluate(model)
    first = CollectionEvaluator(collection, "dev", name="")(model)
    second = CollectionEvaluator(collection, "dev", name="", relevance_level=2)(model)
    assert first["map"] != second["map"] and first["ndcg@10"] == second["ndcg@10"]
    for measure in MEASURES:
        assert values[f"msmarco_{measure}"] == pytest.approx(first[measure])
        assert values[f"trec-dl-2019_{measure}"] == pytest.approx(second[measure])
        assert values[f"mean_{measure}"] == pytest.approx((first[measure] + second[measure]) / 2)
    assert len(values) == 3 * len(MEASURES)


def test_the_primary_metric(data):
    folder = data("msmarco", "scifact", "nq", "mine")
    assert BenchmarkEvaluator("msmarco", data=folder).primary_metric == "msmarco_mrr@10"
    assert BenchmarkEvaluator("msmarco", data=folder, measures=["map"]).primary_metric == "msmarco_map"
    assert BenchmarkEvaluator(["nq", "scifact"], data=folder).primary_metric == "mean_ndcg@10"
    assert BenchmarkEvaluator(["nq", "msmarco"], data=folder).primary_metric == "mean_ndcg@10"
    assert BenchmarkEvaluator([str(folder / "mine")]).primary_metric == "mine_ndcg@10"


def test_one_benchmark_has_no_mean(model, data):
    values = BenchmarkEvaluator("scifact", data=data("scifact"), measures=["ndcg@10"])(model)
    assert list(values) == ["scifact_ndcg@10"]


def test_run_files_and_the_model_card(data, tmp_path):
    model = tiny_sentence_transformer()
    evaluate = BenchmarkEvaluator(["nq", "scifact"], data=data("nq", "scifact"), write_predictions=True)
    values = evaluate(model, output_path=str(tmp_path / "runs"), epoch=1, steps=8)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "nq_epoch1_step8.trec", "scifact_epoch1_step8.trec",
    ]  # fmt: skip
    kept = model.model_card_data.eval_results_dict
    assert kept[evaluate]["mean_ndcg@10"] == values["mean_ndcg@10"]
    assert kept[evaluate.evaluators["nq"]]["nq_ndcg@10"] == values["nq_ndcg@10"]


def test_works_in_the_hosts_trainer(data, tmp_path):
    arguments = SentenceTransformerTrainingArguments(
        str(tmp_path / "out"), report_to="none", use_cpu=True, metric_for_best_model="mean_ndcg@10"
    )
    evaluate = BenchmarkEvaluator(["nq", "scifact"], data=data("nq", "scifact"))
    trainer = SentenceTransformerTrainer(
        tiny_sentence_transformer(), args=arguments, loss=nn.Identity(), evaluator=evaluate
    )
    assert trainer.evaluate()["eval_mean_ndcg@10"] == evaluate(trainer.model)["mean_ndcg@10"]


def test_one_that_cannot_be_measured_does_not_end_the_others(model, data, caplog):
    folder = data("nq", "scifact", "msmarco")
    (folder / "scifact" / "corpus.jsonl").write_text("spoilt")
    (folder / "msmarco" / "qrels" / "dev.tsv").rename(folder / "msmarco" / "qrels" / "test.tsv")
    evaluate = BenchmarkEvaluator(["scifact", "nq", "msmarco"], data=folder, measures=["map"])
    assert list(evaluate.failed) == ["scifact", "msmarco"] and "corpus.jsonl:1" in evaluate.failed["scifact"]
    assert "The benchmark scifact is left out" in caplog.text
    values = evaluate(model)
    assert values["mean_map"] == values["nq_map"] == values[evaluate.primary_metric]


def test_two_of_one_name_and_nothing_that_can_be_measured(data, tmp_path):
    folder = data("mine", "nq")
    copy = shutil.copytree(folder / "mine", tmp_path / "other" / "mine")
    assert "'mine' twice" in next(iter(BenchmarkEvaluator([str(folder / "mine"), str(copy)]).failed.values()))
    for name in ("mine", "nq"):
        (folder / name / "corpus.jsonl").unlink()
    with pytest.raises(InputError, match=r"at least one of nq, .*mine.*no such file.*no such file"):
        BenchmarkEvaluator(["nq", str(folder / "mine")], data=folder)


@pytest.mark.parametrize(
    "names, options, named",
    [([], {}, "0 benchmarks"), ("scifact", {"measures": []}, "0 measures"), (["scifact", "sciffact"], {}, "sciffact")],
    ids=["no benchmark", "no measure", "unknown"],
)
def test_refuses(data, names, options, named):
    with pytest.raises(InputError, match=named):
        BenchmarkEvaluator(names, data=data("scifact"), **options)
