"""``st-mta report``: the pages of a finished run, again, elsewhere, and of runs older than the page."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from st_mta.cli.main import main
from tests.report.html.parsed import Page
from tests.training.toy_run import toy_trainer


@pytest.fixture(scope="module")
def run(tmp_path_factory, toy_collection):
    """A finished run, and its collection as a folder."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "toy" / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", toy_collection.corpus), ("queries", toy_collection.queries)):
        rows = ({"_id": text_id, "text": texts[text_id]} for text_id in texts)
        (folder / "toy" / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    for split, qrels in toy_collection.qrels.items():
        rows = [f"{query}\t{passage}\t{grade}" for query, judged in qrels.items() for passage, grade in judged.items()]
        text = "\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n"
        (folder / "toy" / "qrels" / f"{split}.tsv").write_text(text)
    toy_trainer(folder / "out", folder / "store", toy_collection).train()
    return folder


@pytest.fixture
def out(run, tmp_path):
    """A copy that a test may change."""
    kept = shutil.ignore_patterns("student", "student-before", "student-embeddings", "warm-up", "checkpoints")
    return shutil.copytree(run / "out", tmp_path / "out", ignore=kept)


def report(*arguments):
    return main(["report", *map(str, arguments)])


def refused(capsys, *arguments):
    assert report(*arguments) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message and message.count("\n") == 1
    return message


def test_the_run_and_the_command_write_the_same_page(run, capsys):
    names = ("report.html", "report.md", "report.json")
    before = {name: (run / "out" / name).read_bytes() for name in names}
    assert b"report.html" not in before["report.json"]
    assert report(run / "out", "--collection", run / "toy") == 0
    assert capsys.readouterr().out.strip() == str(run / "out" / "report.html")
    assert {name: (run / "out" / name).read_bytes() for name in names} == before


def test_the_page_shows_the_texts_of_the_run(run, toy_collection):
    page = Page((run / "out" / "report.html").read_text(encoding="utf-8"))
    assert page.examples and len(page.figures) == 5
    for example in page.examples:
        assert example.query in toy_collection.queries.take(range(len(toy_collection.queries)))
        assert all(passage["text"].strip() == toy_collection.corpus[passage["id"]] for passage in example.passages)


def test_the_configuration_says_where_the_texts_are(run, out):
    (out / "config.yaml").write_text(yaml.safe_dump({"collection": str(run / "toy")}))
    assert report(out) == 0
    assert "go by their ids" not in (out / "report.html").read_text(encoding="utf-8")


def test_without_its_collection_there_are_ids(out):
    assert report(out, "--output", out / "pages" / "page.html") == 0
    page = Page((out / "pages" / "page.html").read_text(encoding="utf-8"))
    assert "the collection could not be loaded" in page.text and "--collection" in page.text
    assert page.examples[0].query.startswith("query q")


def test_an_older_run_gets_what_it_lacks(run, out):
    whole = json.loads((out / "report.json").read_text())
    older = {name: value for name, value in whole.items() if name not in ("comparisons", "score_distributions")}
    (out / "report.json").write_text(json.dumps(older))
    assert report(out) == 0
    whole_again = json.loads((out / "report.json").read_text())
    assert whole_again == {name: value for name, value in whole.items() if name != "comparisons"}
    assert report(out, "--collection", run / "toy") == 0
    assert json.loads((out / "report.json").read_text()) == whole


def test_an_older_run_whose_scores_are_gone(out):
    older = json.loads((out / "report.json").read_text())
    del older["score_distributions"]
    (out / "report.json").write_text(json.dumps(older))
    (out / "iteration-00" / "scores.npy").unlink()
    assert report(out) == 0
    assert json.loads((out / "report.json").read_text()) == older


def test_other_judgements_than_those_of_the_run_are_not_compared(run, out, tmp_path):
    older = json.loads((out / "report.json").read_text())
    del older["comparisons"]
    (out / "report.json").write_text(json.dumps(older))
    shutil.copytree(run / "toy", tmp_path / "toy")
    (tmp_path / "toy" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq30\tp0\t1\n")
    assert report(out, "--collection", tmp_path / "toy") == 0
    assert "do not give the measures of the report" in " ".join((out / "report.html").read_text().split())
    assert json.loads((out / "report.json").read_text()) == older


def test_a_folder_without_a_finished_run(run, tmp_path, capsys):
    assert "finished run" in refused(capsys, tmp_path)
    shutil.copy(run / "out" / "state.json", tmp_path)
    assert "begun but not finished" in refused(capsys, tmp_path)
    (tmp_path / "report.json").write_text('{"student": ')
    assert "finished run" in refused(capsys, tmp_path)
    (tmp_path / "report.json").write_text('{"other": 1}')
    assert "finished run" in refused(capsys, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "state.json"]


def test_another_collection(run, out, tmp_path, capsys):
    shutil.copytree(run / "toy", tmp_path / "less")
    lines = (tmp_path / "less" / "corpus.jsonl").read_text().splitlines()
    (tmp_path / "less" / "corpus.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    before = (out / "report.html").read_bytes()
    assert "with 60 passages" in refused(capsys, out, "--collection", tmp_path / "less")
    assert "nowhere" in refused(capsys, out, "--collection", tmp_path / "nowhere")
    assert (out / "report.html").read_bytes() == before


def test_an_output_that_is_a_folder(out, capsys):
    assert "the folder" in refused(capsys, out, "--output", out / "plots")
