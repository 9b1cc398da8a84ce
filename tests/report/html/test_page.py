"""The page says what ``report.json``, the run files and the collection say, and asks nobody else."""

from __future__ import annotations

import json
import re

import pytest

from st_mta.evaluation import evaluate_run
from st_mta.report import write_report
from st_mta.report.pages import html_page
from tests.report.html.parsed import Page
from tests.report.sample_evidence import sample_runs
from tests.report.sample_report import iteration, sample_report

OPTIONAL = ("queries", "scores", "filter", "serving")


def test_every_system_with_its_numbers(report, texts):
    systems = Page(html_page(report, "out/student", texts)).tables[0]
    entries = [report["teacher"], *report["assistants"], report["student_before"], report["student"]]
    assert len(systems) == len(entries)
    for row, entry in zip(systems, entries):
        assert row["Model"].startswith(entry["name"])
        shown = [float(row[name]) for name in ("nDCG@10", "MRR@10", "Recall@100")]
        assert shown == pytest.approx([entry["ndcg@10"], entry["mrr@10"], entry["recall@100"]], abs=5e-4)
        assert float(row["queries/s"].replace(",", "")) == pytest.approx(entry["queries_per_second"], rel=5e-3)
        millions = 0.0 if row["Parameters"] == "–" else float(row["Parameters"].removesuffix("M"))
        assert millions == pytest.approx(entry["parameters"] / 1e6, abs=0.05)


def test_every_iteration_with_its_numbers(report, texts):
    rows = Page(html_page(report, "out/student", texts)).tables[1]
    for row, entry in zip(rows, report["iterations"], strict=True):
        assert int(row["Iteration"]) == entry["iteration"]
        assert int(row["Queries"].replace(",", "")) == entry["queries"]
        assert float(row["nDCG@10 (dev)"]) == pytest.approx(entry["dev"]["ndcg@10"], abs=5e-4)
        assert [float(part) for part in row["Loss"].split(" → ")] == pytest.approx(list(entry["loss"].values()))
    assert [row["Filtered"] for row in rows] == ["–", "3.1%", "4.8%"]


def test_quantiles_serving_and_ledger(report, texts):
    *_, quantiles, serving, reuse, stages = Page(html_page(report, "out/student", texts)).tables
    parts = [part for entry in report["score_distributions"] for part in entry["distributions"]]
    for row, part in zip(quantiles, parts, strict=True):
        assert row["Scorer"] == part["scorer"] and int(row["Candidates"]) == sum(part["counts"])
        assert float(row["50%"]) == pytest.approx(part["quantiles"]["0.5"], abs=5e-4)
    assert [(row["Serving"], row["Bytes per passage"], row["nDCG@10"]) for row in serving] == [
        ("as trained", "1,536", "0.431"), ("binary", "48", "0.387"),
    ]  # fmt: skip
    compute = report["compute"]
    done = [[int(row[name].replace(",", "")) for name in ("Done", "Taken from the store")] for row in reuse]
    assert done == [
        *(
            [compute[f"{what}_{verb}"], compute[f"{what}_reused"]]
            for what, verb in (("pairs", "scored"), ("passages", "encoded"), ("queries", "encoded"))
        ),
        [compute["queries_searched"], compute["searches_reused"]],
    ]
    assert {row["Stage"] for row in stages} == set(compute["seconds"])


def test_wins_and_losses_say_what_the_runs_say(report, texts):
    page, runs, qrels = Page(html_page(report, "out/student", texts)), sample_runs(), texts.qrels["test"]
    known = {
        text: query_id for query_id, text in zip(texts.queries.ids, texts.queries.take(range(len(texts.queries))))
    }
    entries = [
        (entry, comparison["baseline"])
        for comparison in report["comparisons"]
        for entry in [*comparison["largest_wins"], *comparison["largest_losses"]]
    ]
    assert len(page.examples) == len(entries) >= 25
    for shown, (entry, baseline) in zip(page.examples, entries):
        query_id = known[shown.query]
        assert query_id == entry["query"]
        measured = [
            evaluate_run({query_id: runs[name][query_id]}, {query_id: qrels[query_id]}, ["ndcg@10"])["ndcg@10"]
            for name in (baseline, "student")
        ]
        assert [float(value) for value in shown.values.split(" → ")] == pytest.approx(measured, abs=5e-4)
        assert float(shown.difference) == pytest.approx(measured[1] - measured[0], abs=5e-4)
        for passage in shown.passages:
            assert passage["text"].strip() == texts.corpus[passage["id"]]
            ranks = [
                sorted(runs[name][query_id], key=lambda p: -runs[name][query_id][p]) for name in ("student", baseline)
            ]
            told = [int(rank) for rank in re.findall(r"rank (\d+)", passage["parts"])]
            assert told == [ranking.index(passage["id"]) + 1 for ranking in ranks if passage["id"] in ranking]
            grade = qrels[query_id].get(passage["id"])
            assert ("not judged" if grade is None else f"grade {grade}") in passage["parts"]


def test_figures_carry_their_numbers(report, texts):
    quality, before, teacher, selection, scores, filtered = Page(html_page(report, "student", texts)).figures
    for value in ("0.451  teacher", "0.417", "0.439  student, final", "before", "warm-up", "iteration 2"):
        assert value in quality
    assert "bm25+minilm  65%" in selection
    assert f"{report['comparisons'][0]['wins']} queries better" in before
    assert f"{report['comparisons'][1]['losses']} worse" in teacher
    assert {"teacher", "minilm", "bm25", "iteration-01"} <= set(scores)
    assert "3.1%" in filtered and "4.8%" in filtered and "iteration 0" not in filtered


def numbers_in(value):
    """Every number of a report, and every number inside its texts."""
    if isinstance(value, dict):
        return [number for key, part in value.items() for number in [*numbers_in(key), *numbers_in(part)]]
    if isinstance(value, list):
        return [number for part in value for number in numbers_in(part)]
    if isinstance(value, str):
        return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", value)]
    return [] if value is None else [abs(float(value))]


def strangers(report, prose):
    """Numbers of a text that are neither in the report nor what two of its numbers make."""
    teacher, student = report["teacher"], report["student"]
    told = [{k: v for k, v in report.items() if k not in ("comparisons", "score_distributions", "serving")}]
    told += [{k: comparison[k] for k in ("wins", "losses", "ties")} for comparison in report.get("comparisons", [])]
    known = numbers_in(json.loads(json.dumps(told)))
    known += [student[what] / teacher[what] for what in ("parameters", "queries_per_second")]
    spans = [report["compute"]["total_seconds"], report["warm_up"]["seconds"]]
    known += [part for seconds in spans for part in divmod(round(seconds), 60)]
    known += [10, 100, 95, 5, 0.001]  # nDCG@10, Recall@100, "95% interval", "5% level", "p < 0.001"
    found = []
    for token in re.findall(r"\d[\d,]*(?:\.\d+)?%?M?", prose):
        scale = 100 if token.endswith("%") else 1e-6 if token.endswith("M") else 1
        digits = token.rstrip("%M").replace(",", "")
        half = 0.5 * 10.0 ** -len(digits.partition(".")[2]) + 1e-9
        if not any(abs(float(digits) - number * scale) <= half for number in known) and float(digits) not in known:
            found.append(token)
    return found


def test_no_number_in_the_prose_comes_from_anywhere_else(report, texts, monkeypatch):
    prose = Page(html_page(report, "out/student", texts)).prose
    assert len(re.findall(r"\d+", prose)) > 60
    assert strangers(report, prose) == []
    monkeypatch.setattr("st_mta.report.wording.quality_sentence", lambda report: "98.3% of 0.777, 7,321 times, 19.4M")
    wrong = Page(html_page(report, "out/student", texts)).prose
    assert strangers(report, wrong) == ["98.3%", "0.777", "7,321", "19.4M"]


def test_nothing_is_fetched_and_nothing_runs(report, texts):
    html = html_page(report, "out/student", texts)
    page = Page(html)
    assert all(link.startswith("#") or link == "data:," for link in page.links)
    assert "<script" not in html and "<b>0</b>" not in html and "&lt;script&gt;alert(" in html
    assert "@import" not in html and not re.search(r"url\((?!#)", html)
    assert not [tag for tag, given in page.tags if any(name.startswith("on") for name in given)]


def test_names_are_escaped_everywhere(report, texts):
    report["collection"]["name"] = report["teacher"]["name"] = '<img src=x onerror="alert(1)">'
    report["development"]['<img src="x">'] = 0.4
    report["collection"]["notes"] = ["</style><script>1</script>"]
    html = html_page(report, '"/><script>', texts, "<script>")
    assert "<img" not in html and "<script" not in html and html.count("</style>") == 1


def test_ids_are_unique_and_links_lead_somewhere(report, texts):
    page = Page(html_page(report, "out/student", texts))
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert set(OPTIONAL) <= set(page.ids)


def test_what_a_report_does_not_have_is_not_mentioned():
    page = Page(html_page(sample_report(), "out/student"))
    assert not set(OPTIONAL) & set(page.ids) and len(page.figures) == 2
    assert "Filtered" not in page.tables[1][0]


def test_without_texts_there_are_ids_and_a_reason(report):
    page = Page(html_page(report, "out/student", None, "The collection has moved."))
    assert "The collection has moved." in page.text
    assert page.examples[0].query == f"query {report['comparisons'][0]['largest_wins'][0]['query']}"
    assert page.examples[0].passages[0]["id"] and not page.examples[0].passages[0]["text"].strip()


def test_a_reason_is_given_even_without_comparisons():
    assert "has moved" in Page(html_page(sample_report(), "out/student", None, "The collection has moved.")).text


def test_long_passages_are_cut_at_a_word(report, texts):
    import dataclasses

    from st_mta.types import Texts

    longer = {name: "word " * 500 for name in texts.corpus.ids}
    page = Page(html_page(report, "student", dataclasses.replace(texts, corpus=Texts.from_dict(longer))))
    assert page.examples[0].passages[0]["text"].strip().endswith("word …")
    assert len(page.examples[0].passages[0]["text"]) < 620


def test_no_iteration_improved(report, texts):
    report["best_iteration"] = -1
    report.pop("kept")  # as older reports are
    html = html_page(report, "out/student", texts)
    assert "No iteration improved on the warmed-up student" in html
    assert html.count('class="strong"') == 1  # the student among the systems, no iteration
    report["warm_up"] = None
    assert "No iteration improved on the untrained student" in html_page(report, "out/student", texts)


def test_the_least_that_a_run_can_be(report, texts):
    report.update(assistants=[], development={}, warm_up=None, iterations=[iteration(0, 0.4, {})], best_iteration=-1)
    report["student"].update(queries_per_second=None, parameters=0)
    page = Page(html_page(report, "out/student", texts))
    assert len(page.tables[0]) == 3 and "assistants" not in page.ids


def test_the_same_report_gives_the_same_page(report, texts):
    assert html_page(report, "out/student", texts) == html_page(report, "out/student", texts)


def test_the_page_is_written_with_the_report(report, texts, tmp_path):
    write_report(tmp_path, report, collection=texts, html_path=tmp_path / "elsewhere.html")
    assert (tmp_path / "elsewhere.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert not (tmp_path / "report.html").exists()
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "quality.png", "selection.png", "scores.png", "against-student_before.png", "against-teacher.png",
    }  # fmt: skip
    for picture in re.findall(r"!\[.+?\]\((.+?)\)", (tmp_path / "report.md").read_text()):
        assert (tmp_path / picture).exists()
